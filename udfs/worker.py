"""The process of one worker: `python -m udfs.worker`, started by a barrier task, ended with it.

TensorFlow's collectives can be set up once a process, so every attempt needs a fresh one. The task writes three JSON
lines to its standard input (plan, member, where to report) and keeps it open: at its end the task is gone, and the worker
goes too. The result is one JSON line on standard output.
"""

from __future__ import annotations

import json
import os
import sys
import threading

from udfs.plan import Member, Plan
from udfs.report import Reporter


def main() -> None:
    plan = Plan.from_json(sys.stdin.readline())
    member = Member(**json.loads(sys.stdin.readline()))
    reporter = Reporter(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    result_stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr; stdout carries the result alone
    from udfs.training import train

    result = train(plan, member, reporter.send)
    print(json.dumps(result), file=result_stream, flush=True)
    os._exit(0)  # TensorFlow's server threads would keep an ordinary exit waiting for peers that left


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
