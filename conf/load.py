"""Reads a configuration: the class's defaults, then a YAML file, then `key=value` overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from conf.keys import keys_of
from conf.schema import REMOVED, RENAMED, SHORT_NAMES, Settings
from conf.validation import ConfigError, flatten, validated
from udfs.errors import message_line

Kind = TypeVar("Kind")
SHIPPED = files("conf")  # the package's own YAML files; inside the archive if it is imported from a wheel
HELP = "--help"
QUOTED = 300  # characters of a library's message
ADVICE = {old: f"it is {new} now" for old, new in RENAMED.items()} | REMOVED


def load(path: str | None = None, overrides: Iterable[str] = ()) -> Settings:
    """The jobs' settings: a YAML file (`conf/local.yaml` by default) with `key=value` overrides applied.

    Raises:
        ConfigError: For a file that is missing or broken, an unknown key, a wrong type or an impossible value.
    """
    values = _file_values(Settings, _shipped(path or "conf/local.yaml", always=not path))
    for text in overrides:
        name, value = split_override(text)
        for key in SHORT_NAMES.get(name, (name,)):
            values.append((key, override_value(Settings, key, value)))
    return validated(Settings, values, ADVICE, HELP)


def load_as(kind: type[Kind], path: str | None, overrides: Iterable[str] = (), help_command: str = HELP) -> Kind:
    """The same for any other configuration class; without a path, its defaults with the overrides applied."""
    values = _file_values(kind, Path(path)) if path else []
    for text in overrides:
        name, value = split_override(text)
        values.append((name, override_value(kind, name, value)))
    return validated(kind, values, help_command=help_command)


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Settings with other values for some keys, which may be dotted names or nested mappings.

    Raises:
        ConfigError: For an unknown key, a wrong type or an impossible value.
    """
    pairs = [*flatten(Settings, asdict(settings)), *flatten(Settings, values)]
    return validated(Settings, pairs, ADVICE, HELP)


def to_yaml(settings: Settings) -> str:
    """All settings as YAML that `load` reads again."""
    tree = {
        section: {name: _escaped(value) for name, value in keys.items()} for section, keys in asdict(settings).items()
    }
    return OmegaConf.to_yaml(OmegaConf.create(tree))


def _escaped(value: Any) -> Any:
    """A text in which `load` does not look for variables."""
    return value.replace("${", r"\${") if isinstance(value, str) else value


def split_override(text: str) -> tuple[str, str]:
    """Key and value of `key=value`."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(
            f"override {text!r}: found nothing after the key, expected key=value, for example train.epochs=5"
        )
    return key.strip(), value


def override_value(kind: type, name: str, text: str) -> Any:
    """The value of an override: the text itself for a text key, otherwise what the text means in YAML."""
    key = keys_of(kind).get(name)
    if key is not None and key.type is str:
        return text
    try:
        value = OmegaConf.from_dotlist([f"value={text}"])["value"]
    except (YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(
            f"override {name}={text}: not readable as YAML: {message_line(error, QUOTED)}; quote the value"
        ) from error
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _shipped(path: str, always: bool) -> Any:
    """The file, or the package's own of the same name for jobs that are started from another directory."""
    file = Path(path)
    shipped = SHIPPED / file.name
    return shipped if always or (not file.exists() and file.parent.name == "conf" and shipped.is_file()) else file


def _file_values(kind: type, file: Any) -> list[tuple[str, Any]]:
    try:
        with file.open(encoding="utf-8") as stream:
            loaded = OmegaConf.load(stream)
        if not isinstance(loaded, DictConfig):
            raise ConfigError(f"{file}: found a list, expected keys with values; correct the file")
        tree = OmegaConf.to_container(loaded, resolve=True)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}; give the path of a YAML file") from error
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not readable as YAML: {message_line(error, QUOTED)}; correct the file") from error
    assert isinstance(tree, Mapping)
    return list(flatten(kind, {str(name): value for name, value in tree.items()}))
