"""Typed configuration: `schema` says what can be set, `load` reads YAML files and `key=value` overrides."""

from conf.load import ConfigError, describe, load
from conf.schema import Settings

__all__ = ["ConfigError", "Settings", "describe", "load"]
