"""Ids of training runs, and what runs recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path

from udfs.run_folder import RunFolder


def read_history(folder: Path) -> list[dict]:
    """The metrics of each epoch of a run, in order.

    Args:
        folder: The run's folder.
    """
    return [json.loads(line) for line in Path(RunFolder(str(folder)).metrics).read_text().splitlines()]


def run_id(*parts: object) -> str:
    """An id of the parts, joined by hyphens. A name with spaces or capitals, such as `batch of 512`, becomes `batch-of-512`."""
    return "-".join(re.sub("[^a-z0-9.]+", "-", str(part).lower()).strip("-") for part in parts)
