"""Quick checks of a Spark session; they run no Spark job."""

from __future__ import annotations

import os

import pyspark
from pyspark.sql import SparkSession

from jobs.driver.environment.check import Check
from jobs.driver.environment.file_names import ADVICE, can_encode, file_name_encoding
from jobs.driver.environment.process_checks import scratch_check, scratch_folders
from jobs.driver.environment.python_versions import local_python_check

SCRIPTS = "éя照"  # Latin, Cyrillic and Han


def session_checks(spark: SparkSession) -> list[Check]:
    """Checks Spark, the JVM, the executors' Python and the scratch folders, without a Spark job."""
    checks = [
        spark_check(spark),
        jvm_check(spark),
        file_names_check(spark),
        local_python_check(spark),
        address_check(spark),
    ]
    configured = spark.sparkContext.getConf().get("spark.local.dir")
    if configured and not os.environ.get("SPARK_LOCAL_DIRS"):
        checks += [scratch_check(folder) for folder in scratch_folders(configured)]
    return checks


def spark_check(spark: SparkSession) -> Check:
    """Whether the JVM's Spark and the Python package are of the same minor version."""
    found = f"{spark.version} with pyspark {pyspark.__version__}, master {spark.sparkContext.master}"
    if spark.version.split(".")[:2] != pyspark.__version__.split(".")[:2]:
        return Check("Spark", "error", found, f"use Spark {pyspark.__version__}, or unset SPARK_HOME")
    return Check("Spark", "ok", found)


def jvm_check(spark: SparkSession) -> Check:
    system = spark.sparkContext._jvm.java.lang.System
    heap = spark.sparkContext._jvm.java.lang.Runtime.getRuntime().maxMemory() / 2**30
    return Check(
        "Java", "ok", f"{system.getProperty('java.version')} ({system.getProperty('java.home')}), heap {heap:.1f} GB"
    )


def file_names_check(spark: SparkSession) -> Check:
    """Whether the JVM can open files with names in any script. Photos of local folders are opened by Python in any case."""
    encoding = file_name_encoding(spark)
    if can_encode(SCRIPTS, encoding):
        return Check("LC_ALL", "ok", f"{encoding} for file names in the JVM")
    return Check(
        "LC_ALL", "warning", f"{encoding} for file names in the JVM, which cannot hold names such as é", ADVICE
    )


def address_check(spark: SparkSession) -> Check:
    return Check("spark.driver.host", "ok", str(spark.sparkContext.getConf().get("spark.driver.host")))
