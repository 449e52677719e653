import logging

import pytest

from jobs.driver.environment.check import Check, require_no_errors
from udfs.errors import InputError

FINE = Check("Java", "ok", "17")
ODD = Check("open files", "warning", "256", "raise the limit")
BAD = [Check("Python", "error", "3.12", "use Python 3.11"), Check("Spark", "error", "3.5", "use Spark 4.0")]


def test_warnings_are_logged_and_nothing_else(caplog):
    require_no_errors([FINE, ODD], logging.getLogger("job"))
    assert caplog.messages == ["open files: found 256; raise the limit"]


def test_all_errors_are_in_one_message():
    with pytest.raises(InputError, match=r"^Python: found 3.12; use Python 3.11 \| Spark: found 3.5; use Spark 4.0$"):
        require_no_errors([FINE, *BAD], logging.getLogger("job"))
