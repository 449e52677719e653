"""Typed configuration: `schema` says what can be set, `load` reads YAML files and `key=value` overrides."""

from conf.load import changed, load, load_as, to_yaml
from conf.schema import Settings
from conf.validation import ConfigError

__all__ = ["ConfigError", "Settings", "changed", "load", "load_as", "to_yaml"]
