"""Prepares the environment's own Spark so that a bare `spark-submit jobs/NAME.py` works.

Run it as `python -m jobs.driver.spark.spark_home`.

It fetches Delta's jars once, through Spark's resolver, and writes `spark-defaults.conf` and `log4j2.properties` into the
installed pyspark's `conf` folder.
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
# Warnings and errors only: the last line of a job's output belongs to the job.
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


def packages_flag() -> str:
    """The flags that give a Spark without Delta's jars what it lacks."""
    return " ".join(
        [f"--packages {DELTA_PACKAGE}"] + [f"--conf {key}={value}" for key, value in DELTA_SETTINGS.items()]
    )


def main() -> None:
    import pyspark

    home = Path(pyspark.__file__).parent
    (home / "conf" / "jars").mkdir(parents=True, exist_ok=True)
    jars = fetch_delta_jars(home)
    settings = {
        "spark.jars": ",".join(jar.as_uri() for jar in jars),
        "spark.pyspark.python": sys.executable,
        "spark.driver.memory": "2g",
        **DELTA_SETTINGS,
    }
    lines = [f"{key} {value}" for key, value in settings.items()]
    (home / "conf" / "spark-defaults.conf").write_text("\n".join(lines) + "\n")
    (home / "conf" / "log4j2.properties").write_text(LOG4J)
    launch_without_activation(home)
    print(f"Spark {pyspark.__version__} in {home} is ready, with {', '.join(jar.name for jar in jars)}")


def fetch_delta_jars(home: Path) -> list[Path]:
    """Delta's jars, in `conf/jars` of the Spark installation; fetched on the first call only."""
    folder = home / "conf" / "jars"
    wanted = f"io.delta_delta-spark_2.13-{version('delta-spark')}.jar"
    if not (folder / wanted).exists():
        with tempfile.TemporaryDirectory() as scratch:
            nothing = Path(scratch, "nothing.py")
            nothing.write_text("")
            command = [
                home / "bin" / "spark-submit",
                "--packages",
                DELTA_PACKAGE,
                "--conf",
                f"spark.jars.ivy={scratch}/ivy",
            ]
            done = subprocess.run(
                [*map(str, command), str(nothing)],
                env={**os.environ, "SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable},
                capture_output=True,
                text=True,
            )
            found = sorted(Path(scratch, "ivy", "jars").glob("io.delta_*.jar"))
            if done.returncode or wanted not in [jar.name for jar in found]:
                sys.exit(
                    f"{done.stderr}\nSpark's resolver could not fetch {DELTA_PACKAGE}; is a Maven repository reachable?"
                )
            for jar in found:
                shutil.copy(jar, folder / jar.name)
    return sorted(folder.glob(f"io.delta_*-{version('delta-spark')}.jar"))


def launch_without_activation(home: Path) -> None:
    """Lets the environment's `bin/spark-submit` find this Spark although another `python3` comes first on PATH."""
    finder = Path(sys.executable).parent / "find-spark-home"
    if finder.exists():
        finder.write_text(f'#!/usr/bin/env bash\nexport SPARK_HOME="${{SPARK_HOME:-{home}}}"\n')


if __name__ == "__main__":
    main()
