#!/bin/sh
# Runs Airflow with the project's environment: `airflow_dags/airflow.sh standalone`, `airflow_dags/airflow.sh dags test ...`.
# SPARK_MASTER (default local[*]) is where the jobs run, unless AIRFLOW_CONN_SPARK_DEFAULT is set. AIRFLOW_HOME is where
# Airflow keeps its database and logs.
set -eu
CAPTIONER_HOME=$(cd "$(dirname "$0")/.." && pwd)
export CAPTIONER_HOME
cd "$CAPTIONER_HOME" # relative paths in a configuration start here, as on the command line

export AIRFLOW_HOME="${AIRFLOW_HOME:-$CAPTIONER_HOME/data/airflow}"
export AIRFLOW__CORE__DAGS_FOLDER="$CAPTIONER_HOME/airflow_dags"
export AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW_CONN_SPARK_DEFAULT="${AIRFLOW_CONN_SPARK_DEFAULT:-$(printf '{"conn_type": "spark", "host": "%s"}' "${SPARK_MASTER:-local[*]}")}"
# Tasks reach the API server at this address.
export AIRFLOW__API__BASE_URL="${AIRFLOW__API__BASE_URL:-http://localhost:${AIRFLOW__API__PORT:-8080}}"
# Airflow's programs come first; spark-submit comes from the project's environment.
export PATH="$CAPTIONER_HOME/.airflow/bin:$CAPTIONER_HOME/.venv/bin:$PATH"

[ "${1:-}" = standalone ] || airflow db migrate >&2
exec airflow "$@"
