"""Configures the installed pyspark so that `spark-submit jobs/NAME.py` works without further options.

Run it as `python -m jobs.driver.spark.spark_home`; `make setup` does. It downloads Delta's jars with Spark's own resolver,
unless they exist, and writes `spark-defaults.conf`, `spark-env.sh` and `log4j2.properties` into the `conf` folder of pyspark.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

DELTA_PACKAGE = f"io.delta:delta-spark_2.13:{version('delta-spark')}"
DELTA_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
LOG4J = """\
# Warnings and errors only, and none that every job would print.
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.hostname.name = org.apache.spark.util.Utils
logger.hostname.level = error
logger.window.name = org.apache.spark.sql.execution.window.WindowExec
logger.window.level = error
logger.merge.name = org.apache.spark.rdd.MapPartitionsRDD
logger.merge.level = error
logger.fields.name = org.apache.spark.sql.catalyst.util.SparkStringUtils
logger.fields.level = error
"""

# The JVM takes its encoding of file names from the locale, which is ASCII under cron and in many containers.
SPARK_ENV = """\
#!/usr/bin/env bash
if [ "$(locale charmap 2>/dev/null)" != "UTF-8" ]; then
    export LC_ALL=C.UTF-8
fi
"""


def packages_flag() -> str:
    """Returns the options of spark-submit that add Delta Lake to a Spark installation without it."""
    return " ".join(
        [f"--packages {DELTA_PACKAGE}"] + [f"--conf {key}={value}" for key, value in DELTA_SETTINGS.items()]
    )


def main() -> None:
    """Downloads the jars and writes the configuration."""
    import pyspark

    home = Path(pyspark.__file__).parent
    (home / "conf" / "jars").mkdir(parents=True, exist_ok=True)
    jars = fetch_delta_jars(home)
    write_configuration(home / "conf", jars)
    point_spark_submit_to(home)
    print(f"Spark {pyspark.__version__} in {home} is ready, with {', '.join(jar.name for jar in jars)}")


def write_configuration(folder: Path, jars: list[Path]) -> None:
    """Writes what spark-submit reads at its start: settings, environment and logging.

    Args:
        folder: Spark's `conf` folder.
        jars: Delta's jars.
    """
    settings = {
        "spark.jars": ",".join(jar.as_uri() for jar in jars),
        "spark.pyspark.python": sys.executable,
        "spark.driver.memory": "2g",
        **DELTA_SETTINGS,
    }
    lines = [f"{key} {value}" for key, value in settings.items()]
    (folder / "spark-defaults.conf").write_text("\n".join(lines) + "\n")
    (folder / "spark-env.sh").write_text(SPARK_ENV)
    (folder / "log4j2.properties").write_text(LOG4J)


def fetch_delta_jars(home: Path) -> list[Path]:
    """Returns Delta's jars in `conf/jars` of a Spark installation, and downloads them if they do not exist.

    Args:
        home: The folder of the Spark installation.
    """
    folder = home / "conf" / "jars"
    main_jar = f"io.delta_delta-spark_2.13-{version('delta-spark')}.jar"
    if not (folder / main_jar).exists():
        with tempfile.TemporaryDirectory() as scratch:
            for jar in _download(home, Path(scratch), main_jar):
                shutil.copy(jar, folder / jar.name)
    return sorted(folder.glob(f"io.delta_*-{version('delta-spark')}.jar"))


def _download(home: Path, scratch: Path, main_jar: str) -> list[Path]:
    """Lets spark-submit resolve Delta's package into a scratch folder, by running an empty program."""
    program = scratch / "empty.py"
    program.write_text("")
    command = [
        home / "bin" / "spark-submit",
        "--packages",
        DELTA_PACKAGE,
        "--conf",
        f"spark.jars.ivy={scratch}/ivy",
        program,
    ]
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, "SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    jars = sorted((scratch / "ivy" / "jars").glob("io.delta_*.jar"))
    if done.returncode or main_jar not in [jar.name for jar in jars]:
        sys.exit(f"{done.stderr}\nSpark could not download {DELTA_PACKAGE}; check that a Maven repository is reachable")
    return jars


def point_spark_submit_to(home: Path) -> None:
    """Makes the environment's `bin/spark-submit` use this Spark even if the environment is not activated."""
    script = Path(sys.executable).parent / "find-spark-home"
    if script.exists():
        script.write_text(f'#!/usr/bin/env bash\nexport SPARK_HOME="${{SPARK_HOME:-{home}}}"\n')


if __name__ == "__main__":
    main()
