"""Reads a configuration: the schema's defaults, then a YAML file, then `key=value` overrides."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from conf.schema import SHORT, Settings, fields_by_key
from udfs.errors import InputError

SHIPPED = files("conf")  # the package's own YAML files; inside the archive where it is imported from a wheel


class ConfigError(InputError):
    """A configuration that cannot be used; the message names the key and what to do."""


def load(path: str | None = None, overrides: list[str] = ()) -> Settings:
    """The settings of a YAML file (by default `conf/local.yaml`) with `key=value` overrides applied.

    Raises ConfigError for a missing or broken file, an unknown key, a wrong type or an impossible value.
    """
    config = OmegaConf.structured(Settings)
    for key, value in _file_values(path) + [pair for text in overrides for pair in _override(text)]:
        _put(config, key, value)
    return OmegaConf.to_object(config)


def describe() -> str:
    """One line a key: name, default and meaning, for `--help`."""
    return "\n".join(
        f"  {key:24} {field.default!s:16} {field.metadata['meaning']}"
        + (f" [{' | '.join(field.metadata['choices'])}]" if field.metadata["choices"] else "")
        for key, field in fields_by_key().items()
    )


def _file_values(path: str | None) -> list[tuple[str, Any]]:
    file = Path(path or "conf/local.yaml")
    shipped = SHIPPED / file.name
    if not path or (not file.exists() and file.parent.name == "conf" and shipped.is_file()):
        file = shipped  # jobs started from another directory still find the shipped configurations
    try:
        with file.open(encoding="utf-8") as stream:
            loaded = OmegaConf.load(stream)
        if not isinstance(loaded, DictConfig):
            raise ConfigError(f"--config {file}: found a list, expected sections with keys; see conf/local.yaml")
        return list(_flatten(OmegaConf.to_container(loaded, resolve=True)))
    except OSError as error:
        raise ConfigError(f"--config {file}: {error.strerror or error}; give the path of a YAML file") from error
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {file}: not readable as YAML: {_one_line(error)}; mend the file") from error


def _flatten(tree: dict, prefix: str = ""):
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and "." not in key:
            yield from _flatten(value, f"{key}.")
        else:
            yield key, value


def _override(text: str) -> list[tuple[str, Any]]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"override {text!r}: found no '=', expected key=value, for example train.epochs=5")
    key = key.strip()
    try:
        found = OmegaConf.from_dotlist([f"value={value}"])["value"]
    except (YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"override {text!r}: not readable as YAML: {_one_line(error)}; quote the value") from error
    return [(name, found) for name in SHORT.get(key, (key,))]


def _put(config: DictConfig, key: str, value: Any) -> None:
    known = fields_by_key()
    if key not in known:
        nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.3) or ["train.epochs"]
        raise ConfigError(f"{key}: unknown key; the nearest known one is {nearest[0]}; --help lists them all")
    if value is None:
        raise ConfigError(
            f"{key}: found nothing, expected a value such as {known[key].default!r}; give one or drop the key"
        )
    try:
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{key}: found {value!r}, expected {_kind(known[key].type)}; set {key}={known[key].default} or the like"
        ) from error
    _check_value(key, OmegaConf.select(config, key), known[key].metadata)


def _check_value(key: str, value: Any, limits: dict) -> None:
    if limits["choices"] and value not in limits["choices"]:
        nearest = difflib.get_close_matches(str(value), limits["choices"], n=1, cutoff=0.0)[0]
        expected = " | ".join(limits["choices"])
        raise ConfigError(f"{key}: found {value!r}, expected one of {expected}; the nearest is {nearest}")
    low, high = limits["low"], limits["high"]
    too_low = low is not None and not value >= low
    too_high = high is not None and not value <= high
    if too_low or too_high:
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{key}: found {value!r}, expected a number of {bounds}; change {key}")
    if isinstance(value, str) and not value.strip():
        raise ConfigError(f"{key}: found an empty text, expected a value; set {key}=...")


def _kind(annotation: str) -> str:
    return {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(annotation, "a text")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
