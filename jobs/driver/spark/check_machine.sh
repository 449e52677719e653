#!/bin/sh
# Names what set-up needs and this machine lacks, with the line that installs it.
python=${1:-python3.11}
missing=0
lacks() { printf 'missing: %s\n  Debian: %s\n  macOS:  %s\n' "$1" "$2" "$3" >&2; missing=1; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    lacks "Python 3.11 as $python" "sudo apt-get install python3.11 python3.11-venv" "brew install python@3.11"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    lacks "Python's venv module" "sudo apt-get install python3.11-venv" "brew install python@3.11"
fi

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
case $("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) in
    17 | 21) ;;
    *) lacks "Java 17 or 21 as $java" "sudo apt-get install openjdk-17-jre-headless" \
             "brew install openjdk@17 && export JAVA_HOME=\$(brew --prefix openjdk@17)" ;;
esac
exit $missing
