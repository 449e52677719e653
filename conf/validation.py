"""Validates the values of any configuration class with msgspec, and says what to change.

The jobs, the laboratory and the study share it. Types, bounds, choices and the rules across keys (`__post_init__`) come from
the class; msgspec checks them and gives the path of the first value that fails.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_origin, get_type_hints

import msgspec

from conf.keys import Key, entry_class, is_section, keys_of
from udfs.errors import InputError

Kind = TypeVar("Kind")
PATH = re.compile(r" - at `\$\.?(.*)`$")


class ConfigError(InputError):
    """A configuration that cannot be used; the message names the key and what to do."""


def validated(
    kind: type[Kind],
    values: Iterable[tuple[str, Any]],
    advice: Mapping[str, str] | None = None,
    help_command: str = "",
) -> Kind:
    """An instance of a configuration class from (dotted key, value) pairs; a later pair replaces an earlier one.

    Args:
        kind: A dataclass, whose defaults hold for all other keys.
        values: As YAML gives them. A text key takes any plain value as text.
        advice: What to say of keys that earlier versions had: `it is optimizer.name now`.
        help_command: The command that lists all keys, for messages.

    Raises:
        ConfigError: For an unknown key, a wrong type, a value out of bounds, or a broken rule across keys.
    """
    known = keys_of(kind)  # type: ignore[arg-type]  # mypy does not see that a class is hashable
    given: dict[str, Any] = {}
    for name, value in values:
        if name in known:
            given[name] = _checked_value(known[name], value)
        elif mapping := _mapping_of(name, known):
            given[mapping] = _with_entry(given.get(mapping, {}), name.removeprefix(f"{mapping}."), value)
        else:
            raise ConfigError(_unknown(name, known, advice or {}, help_command))
    for name, value in given.items():
        _require_valid_entries(known[name], value, help_command)
    try:
        return msgspec.convert(_tree(given), kind, strict=False)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ValueError):  # a rule of the class, which says all that is needed
            raise ConfigError(str(error.__cause__)) from error
        raise ConfigError(_explained(str(error), known, given)) from error


def checked_value(kind: type, name: str, value: Any) -> Any:
    """A value of one key, converted to the key's type. Rules across keys are not checked.

    Args:
        kind: A configuration class.
        name: A dotted key of it, or of an entry of one of its mappings (`model.options.heads`).

    Raises:
        ConfigError: For a wrong type, or a value out of the key's bounds.
    """
    known = keys_of(kind)
    mapping = "" if name in known else _mapping_of(name, known)
    if mapping is None:
        raise ConfigError(_unknown(name, known, {}, ""))
    key, hint = known[mapping or name], kind
    for part in key.name.split("."):
        hint = get_type_hints(hint, include_extras=True)[part]
    try:
        if mapping:
            return msgspec.convert({"": value}, hint, strict=False)[""]
        return msgspec.convert(_checked_value(key, value), hint, strict=False)
    except msgspec.ValidationError as error:
        if mapping:
            raise ConfigError(f"{name}: found {value!r}, {PATH.sub('', str(error))}; change it") from error
        raise ConfigError(_explained(f"{error} - at `$.{name}`", known, {name: value})) from error


def flatten(kind: type, tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) pairs of a nested mapping; it descends where the class has a section."""
    hints = get_type_hints(kind)
    for name, value in tree.items():
        if is_section(hints.get(name)) and isinstance(value, Mapping):
            yield from flatten(hints[name], value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nearest(name: str, names: Iterable[str]) -> str:
    """The most similar of the names."""
    return difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)[0]


def _unknown(name: str, known: Mapping[str, Key], advice: Mapping[str, str], help_command: str) -> str:
    lists_all = f"; {help_command} lists all keys" if help_command else ""
    if name in advice:
        return f"{name}: unknown key; {advice[name]}{lists_all}"
    same_name = [key for key in known if key.rpartition(".")[2] == name]
    return f"{name}: unknown key; the nearest known one is {(same_name or [nearest(name, known)])[0]}{lists_all}"


def _checked_value(key: Key, value: Any) -> Any:
    if value is None:
        raise ConfigError(
            f"{key.name}: found nothing, expected a {key.expected}; set {key.name}={key.default} or remove it"
        )
    if key.type is str and not isinstance(value, str | list | dict):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _mapping_of(name: str, known: Mapping[str, Key]) -> str | None:
    """The key of a mapping that a dotted name goes into: `engines` for `engines.fast.paths`."""
    parts = name.split(".")
    prefixes = (".".join(parts[:count]) for count in range(1, len(parts)))
    return next((prefix for prefix in prefixes if prefix in known and get_origin(known[prefix].type) is dict), None)


def _with_entry(mapping: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The mapping with one more value, which a dotted name puts into the mappings inside it."""
    first, dot, rest = name.partition(".")
    return {**mapping, first: _with_entry(mapping.get(first) or {}, rest, value) if dot else value}


def _require_valid_entries(key: Key, value: Any, help_command: str) -> None:
    """Checks each value of a mapping whose values are classes, such as a study's engines, so that messages name the entry."""
    kind = entry_class(key.type)
    if kind is None or not isinstance(value, Mapping):
        return
    for entry, fields in value.items():
        if not isinstance(fields, Mapping):
            raise ConfigError(f"{key.name}.{entry}: found {fields!r}, expected keys with values; correct it")
        try:
            validated(kind, flatten(kind, fields), help_command=help_command)
        except ConfigError as error:
            raise ConfigError(f"{key.name}.{entry}.{error}") from error


def _tree(given: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in given.items():
        section, _, last = name.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[last] = value
    return tree


def _explained(error: str, known: Mapping[str, Key], given: Mapping[str, Any]) -> str:
    match = PATH.search(error)
    name = match[1] if match else ""
    in_list, _, _ = name.partition("[")
    if in_list in known and "[..." not in name:
        name = in_list
    if name not in known:  # inside a mapping
        return f"{name or 'configuration'}: {PATH.sub('', error)}; change it"
    key, value = known[name], given[name]
    if key.choices:
        return f"{name}: found {value!r}, expected one of {key.expected}; the nearest is {nearest(str(value), key.choices)}"
    if isinstance(value, str) and not value.strip():
        return f"{name}: found an empty text, expected a value; set {name}=..."
    return f"{name}: found {value!r}, expected a {key.expected}; set {name}={key.default} or the like"
