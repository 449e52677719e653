"""docs/security.md names tests that exist."""

import re

from conftest import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()


def test_each_named_test_exists():
    named, path = [], ""
    for file, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::)?(test_\w+)?(?=`)", PAGE):
        path = file or path
        if file or test:
            named.append((path, test))
    assert len(named) > 25
    for path, test in named:
        assert (ROOT / path).is_file(), path
        assert f"def {test}" in (ROOT / path).read_text(), f"{path}::{test}"
