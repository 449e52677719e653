"""Results that a job does not compute again while everything they follow from stays the same.

A job first builds `made_from`: the table versions, settings and hashes that decide its result. It asks for the stored result;
if that was made from exactly the same, the job has nothing to do and reports the stored result. Otherwise it computes the
result and stores it together with `made_from`.

`made_from` holds JSON values only. It is compared as JSON, so a tuple equals a list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jobs.driver.runs.registry import read_json, write_json
from jobs.driver.tables.store import TableStore


def stored_result(uri: str, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """Reads a result that was stored as a JSON file.

    Returns:
        What `store_result` was given, or None if there is no result or it was made from something else.
    """
    stored = read_json(uri) or {}
    return stored if _same(stored.get("made_from"), made_from) else None


def store_result(uri: str, made_from: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Writes a result with what it was made from as a JSON file; returns both as one dictionary."""
    stored = {"made_from": dict(made_from), **result}
    write_json(uri, stored)
    return stored


def stored_tables(
    tables: Mapping[str, TableStore], made_from: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, int]] | None:
    """Reads the provenance of tables that one job writes together, with the same provenance for each.

    Args:
        tables: The tables by name.
        made_from: What their rows follow from; the provenance holds it as `made_from`.

    Returns:
        The provenance and the current versions by name. None if a table is missing or was made from something else.
    """
    versions = {name: table.version() for name, table in tables.items()}
    notes = [tables[name].provenance(version) for name, version in versions.items() if version is not None]
    complete = len(notes) == len(tables) and all(note == notes[0] for note in notes)
    if not complete or not _same(notes[0].get("made_from"), made_from):
        return None
    return notes[0], {name: version for name, version in versions.items() if version is not None}


def _same(stored: Any, made_from: Mapping[str, Any]) -> bool:
    return stored is not None and stored == json.loads(json.dumps(made_from))
