#!/bin/sh
# Runs all tests: those of the laboratory beside the others, since they mostly wait for its slow links.
# Usage: run_all.sh PYTHON [PYTEST OPTIONS]
python=$1
shift
log=$(mktemp)
trap 'kill "$laboratory" 2>/dev/null; rm -f "$log"' EXIT
"$python" -m pytest tests/lab "$@" >"$log" 2>&1 &
laboratory=$!
"$python" -m pytest tests --ignore=tests/lab "$@"
code=$?
wait "$laboratory" || code=1
echo "== the laboratory's tests"
cat "$log"
exit "$code"
