"""The sizes of a captioner, as JSON can hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from udfs.captioner.normalisation import Normalisation


@dataclass(frozen=True)
class CaptionerShape:
    """Sizes of a captioner: of its vocabulary (with the reserved tokens), of a photo's feature, and of its layers.

    Attributes:
        vocabulary_size: Tokens, with the reserved ones.
        feature_shape: Shape of a photo's feature: (channels,), or (rows, columns, channels) for a map.
        embedding_dim: Size of a word's embedding.
        lstm_units: Size of the LSTM's state.
        dropout: Fraction of the inputs that is dropped in training.
        tie_embeddings: Whether logits are products with the words' embeddings (Press and Wolf, 2017).
        normalisation: What is subtracted from features, and what they are divided by; None for nothing.
        options: What a topology needs besides, by name.
    """

    vocabulary_size: int
    feature_shape: tuple[int, ...]
    embedding_dim: int = 256
    lstm_units: int = 256
    dropout: float = 0.5
    tie_embeddings: bool = False
    normalisation: Normalisation | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_shape", tuple(self.feature_shape))
        if isinstance(self.normalisation, dict):  # as JSON values give it
            object.__setattr__(self, "normalisation", Normalisation(**self.normalisation))

    @property
    def feature_size(self) -> int:
        """Numbers in a photo's feature."""
        return math.prod(self.feature_shape)

    def no_photo(self, photos: int = 1) -> np.ndarray:
        """Features of zeros, float32 (photos, *feature_shape)."""
        return np.zeros((photos, *self.feature_shape), "float32")
