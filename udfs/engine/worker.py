"""The process of one worker: `python -m udfs.engine.worker`, started and ended by its Spark task.

TensorFlow's collectives can be set up only once in a process, so every attempt needs a new one. The task writes two JSON lines
to the process's standard input (plan and member). The process writes events to its standard output, one JSON line each. After
its last event, `Result` or `NonRetryable`, it waits to be ended, so that all workers leave together.
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
from udfs.engine.events import Event, NonRetryable, Result, encode
from udfs.engine.plan import Member, Plan
from udfs.errors import InputError


def main() -> None:
    die_with_parent()
    plan = Plan.from_json(sys.stdin.readline())
    member = Member(**json.loads(sys.stdin.readline()))
    threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print to standard output, which must carry events only

    def report(event: Event) -> None:
        print(encode(event), file=events, flush=True)

    try:
        from udfs.engine.loop import train

        report(Result(member.rank, train(plan, member, report)))
    except (InputError, Superseded) as error:
        why = "superseded" if isinstance(error, Superseded) else "input"
        report(NonRetryable(member.rank, why, str(error)))
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # at an ordinary exit, TensorFlow's server threads would wait for workers that have left
    threading.Event().wait()


def die_with_parent() -> None:
    """On Linux, makes the kernel kill this process when its parent ends, even if this process is stopped."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def exit_at_end_of_input() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
