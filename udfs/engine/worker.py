"""The process of one worker: `python -m udfs.engine.worker`, started by a barrier task, ended with it.

TensorFlow's collectives can be set up once a process, so every attempt needs a fresh one. The task writes two JSON lines to
its standard input (plan and member) and reads events, one JSON line each, from its standard output. After its last event,
`result` or `failed`, the worker waits to be ended, so that all leave together.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import traceback

from udfs.engine.attempts import Superseded
from udfs.engine.plan import Member, Plan
from udfs.errors import InputError


def main() -> None:
    die_with_parent()
    plan = Plan.from_json(sys.stdin.readline())
    member = Member(**json.loads(sys.stdin.readline()))
    threading.Thread(target=leave_at_end_of_input, daemon=True).start()
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr; stdout carries events alone

    def report(event: dict) -> None:
        print(json.dumps(event), file=events, flush=True)

    try:
        from udfs.engine.loop import train

        report({"kind": "result", "rank": member.rank, "result": train(plan, member, report)})
    except (InputError, Superseded) as error:
        kind = "superseded" if isinstance(error, Superseded) else "input"
        report({"kind": "hopeless", "rank": member.rank, "why": kind, "error": str(error)})
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # TensorFlow's server threads would keep an ordinary exit waiting for peers that left
    threading.Event().wait()


def die_with_parent() -> None:
    """On Linux the kernel kills this process when its parent ends, even while it is stopped."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def leave_at_end_of_input() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
