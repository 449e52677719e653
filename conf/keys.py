"""The keys of a configuration class, by dotted name, with what `--help`, messages and reference pages say about them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Meta

TYPE_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Key:
    """One key: `type` is its Python type without annotations, `choices` the allowed texts, `low` and `high` the bounds."""

    name: str
    type: Any
    default: Any
    meaning: str = ""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    affects_training: bool = False

    @property
    def expected(self) -> str:
        """What the key accepts, in words: `whole number of at least 1`."""
        if self.choices:
            return " | ".join(self.choices)
        words = TYPE_WORDS.get(self.type, "value as the reference says")
        if self.low is not None and self.high is not None:
            return f"{words} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{words} of at least {self.low:g}"
        return f"{words} of at most {self.high:g}" if self.high is not None else words


@cache
def keys_of(kind: type) -> dict[str, Key]:
    """Every key of a dataclass in order of declaration; a field that is a dataclass itself is a section."""
    found: dict[str, Key] = {}
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if is_section(hint):
            found |= {f"{field.name}.{name}": dataclasses.replace(key, name=f"{field.name}.{name}")
                      for name, key in keys_of(hint).items()}  # fmt: skip
        else:
            found[field.name] = _key(field, hint)
    return found


def is_section(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def describe(kind: type) -> str:
    """Two lines a key for `--help`: `name=default` with what it accepts, then its meaning."""
    lines = [f"  {key.name}={_shown(key.default):<{max(1, 38 - len(key.name))}} {key.expected}\n      {key.meaning}"
             for key in keys_of(kind).values()]  # fmt: skip
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _key(field: dataclasses.Field, hint: Any) -> Key:
    meta = Meta()
    if get_origin(hint) is Annotated:
        hint, meta = get_args(hint)[:2]
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    default = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
    return Key(
        field.name,
        str if choices else hint,
        default,
        meta.description or "",
        choices,
        meta.ge,
        meta.le,
        bool((meta.extra or {}).get("affects_training")),
    )
