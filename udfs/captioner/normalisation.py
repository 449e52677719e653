"""Features centred and scaled by statistics of the training photos, which stay as they are in training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

STANDARDISED = "standardised"


@dataclass(frozen=True)
class Normalisation:
    """x becomes (x - mean) / deviation.

    Attributes:
        mean: The mean of each channel.
        deviation: One standard deviation for all channels, or one for each.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "deviation", tuple(self.deviation))


class FeatureSums(NamedTuple):
    """Sums over photos and positions: the number of terms, and of each channel the sum and the sum of squares, float64."""

    count: int
    total: np.ndarray
    squares: np.ndarray

    @staticmethod
    def of(features: np.ndarray, before: FeatureSums | None = None) -> FeatureSums:
        """The sums of features (photos, ..., channels), and of those before them.

        They are added photo by photo, so that the result does not depend on how photos are divided into batches.
        """
        channels = features.shape[-1]
        count, total, squares = before or (0, np.zeros(channels), np.zeros(channels))
        for feature in features:
            positions = feature.reshape(-1, channels).astype("float64")
            total = total + positions.sum(axis=0)
            squares = squares + np.square(positions).sum(axis=0)
        return FeatureSums(count + features.size // channels, total, squares)

    def __add__(self, other: FeatureSums) -> FeatureSums:  # type: ignore[override]
        return FeatureSums(self.count + other.count, self.total + other.total, self.squares + other.squares)


def normalisation_of(parts: Iterable[FeatureSums], kind: str) -> Normalisation:
    """The statistics of features from sums over parts of them, added in the given order.

    Args:
        parts: Sums over at least one photo.
        kind: `centred` divides all channels by one standard deviation: the root of their mean variance. `standardised` divides
            each channel by its own, or by that of all where it never varies.
    """
    first, *others = parts
    count, total, squares = sum(others, first)
    mean = total / count
    variance = np.maximum(squares / count - np.square(mean), 0)
    overall = float(np.sqrt(variance.mean())) or 1.0
    own = np.sqrt(variance)
    deviation = np.where(own > 1e-6 * overall, own, overall) if kind == STANDARDISED else np.array([overall])
    return Normalisation(*(tuple(map(float, values.astype("float32"))) for values in (mean, deviation)))
