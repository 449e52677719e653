#!/bin/sh
# Checks that this machine has the Python and the Java that `make setup` needs. If something is missing, the script prints
# how to install it and exits with 1.
python=${1:-python3.11}
status=0
missing() { printf 'missing: %s\n  Debian, Ubuntu: %s\n  macOS:          %s\n' "$1" "$2" "$3" >&2; status=1; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    missing "Python 3.11 as $python" "sudo apt-get install python3.11 python3.11-venv" "brew install python@3.11"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing "Python's venv module" "sudo apt-get install python3.11-venv" "brew install python@3.11"
fi

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
case $("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) in
    17 | 21) ;;
    *) missing "Java 17 or 21 as $java" "sudo apt-get install openjdk-17-jre-headless" \
               "brew install openjdk@17 && export JAVA_HOME=\$(brew --prefix openjdk@17)" ;;
esac
exit $status
