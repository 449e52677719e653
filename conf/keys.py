"""The keys of a configuration class, by dotted name, with what `--help`, messages and reference pages say about them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

TYPE_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", dict: "mapping"}


@dataclass(frozen=True)
class Key:
    """One key.

    `type`: without annotations; `choices`: the allowed texts, if limited; `expected`: what it accepts, in words; `original`: what
    runs did before the key existed.
    """

    name: str
    type: Any
    default: Any
    meaning: str = ""
    choices: tuple[str, ...] = ()
    expected: str = ""
    affects_training: bool = False
    original: Any = None


@cache
def keys_of(kind: type) -> dict[str, Key]:
    """Every key of a dataclass in order of declaration; a field that is a dataclass itself is a section."""
    keys: dict[str, Key] = {}
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if is_section(hint):
            keys |= {f"{field.name}.{name}": dataclasses.replace(key, name=f"{field.name}.{name}")
                     for name, key in keys_of(hint).items()}  # fmt: skip
        else:
            keys[field.name] = _key(field, hint)
    return keys


def is_section(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def entry_class(hint: Any) -> Any:
    """The class of a mapping's values, as for `dict[str, Engine]`; None for any other type."""
    arguments = get_args(hint)
    return arguments[1] if get_origin(hint) is dict and is_section(arguments[1]) else None


def describe(kind: type, prefix: str = "") -> str:
    """Two lines a key for `--help`: `name=default` with what it accepts, then its meaning."""
    lines = []
    for key in keys_of(kind).values():
        name = prefix + key.name
        lines.append(f"  {name}={_shown(key.default):<{max(1, 38 - len(name))}} {key.expected}\n      {key.meaning}")
        if entry := entry_class(key.type):
            lines.append(describe(entry, f"{name}.NAME."))
    return "\n".join(lines)


def accepted(hint: Any) -> str:
    """What a type with its bounds accepts, in words: `whole number of at least 1`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return accepted(arguments[0]) + "".join(_bounds(meta) for meta in arguments[1:])
    if origin is Literal:
        return " | ".join(arguments)
    if origin in (Union, UnionType):
        return " or a ".join(map(accepted, arguments))
    if origin is list:
        return f"list, each item a {accepted(arguments[0])}"
    return TYPE_WORDS.get(origin or hint, "value as the reference says")


def _bounds(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge:g} to {meta.le:g}"
    if meta.ge is not None:
        return f" of at least {meta.ge:g}"
    return f" of at most {meta.le:g}" if meta.le is not None else ""


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _key(field: dataclasses.Field[Any], hint: Any) -> Key:
    plain, *metas = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    choices = get_args(plain) if get_origin(plain) is Literal else ()
    default = field.default_factory() if callable(field.default_factory) else field.default
    originals = [extra["original"] for meta in metas if (extra := meta.extra or {}).get("original") is not None]
    return Key(
        field.name,
        str if choices else plain,
        default,
        next((meta.description for meta in metas if meta.description), ""),
        choices,
        accepted(hint),
        any((meta.extra or {}).get("affects_training") for meta in metas),
        next(iter(originals), default),
    )
