"""How a section of a configuration declares a key: a type, bounds and a meaning, beside the default."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import Meta


def key(
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    affects_training: bool = False,
    original: Any = None,
) -> Meta:
    """The annotation of a key, to be used as `Annotated[int, key("...", low=1)]`.

    Args:
        meaning: One line for `--help` and the reference pages.
        low: The smallest allowed number. Bounds of the items of a list are declared on the item type.
        high: The largest allowed number.
        affects_training: Whether the weights of a trained model depend on the key. Such keys are part of a run's identity:
            a run is resumed only with the same values.
        original: What runs did before the key existed, if the default is something else.
    """
    return Meta(
        ge=low, le=high, description=meaning, extra={"affects_training": affects_training, "original": original}
    )


def text(meaning: str, *, affects_training: bool = False) -> Meta:
    """The annotation of a text key, which must not be empty."""
    return Meta(pattern=r"\S", description=meaning, extra={"affects_training": affects_training})


training_key = partial(key, affects_training=True)
