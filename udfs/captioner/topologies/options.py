"""Reads `model.options` into the dataclass of a topology's options."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from udfs.errors import InputError

Options = TypeVar("Options")


def read_options(kind: type[Options], values: dict[str, Any]) -> Options:
    """The options of a configuration, in the types of their defaults.

    Args:
        kind: A dataclass whose fields all have defaults.
        values: Some of them.

    Raises:
        InputError: One is unknown.
    """
    known = {field.name: type(field.default) for field in fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise InputError(
            f"model.options: found {', '.join(unknown)}, expected some of {', '.join(known)}; correct the name"
        )
    return kind(**{name: known[name](value) for name, value in values.items()})


def require_multiple(key: str, size: int, heads: int) -> None:
    """Raises InputError, which names the key of the size, if heads do not divide it."""
    if heads < 1 or size < 1 or size % heads:
        raise InputError(f"{key}: found {size} with {heads} heads, expected a multiple of heads; change one of them")
