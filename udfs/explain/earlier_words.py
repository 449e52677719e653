"""Which earlier words a word depends on: each left out in turn (Li, Monroe and Jurafsky, 2016, "erasure").

Leaving a word out asks the captioner what it would say after a caption that it could have read, in nats. A gradient at the
embeddings would ask about words between words, and would need to know the captioner's inside.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from udfs.captioner.text import PADDING, START


def leave_one_out(speak: Callable, caption: list[int], feature: np.ndarray) -> np.ndarray:
    """How far each word's log-probability falls without one of the words before it, (words, words), in nats.

    Row t, column j < t: word t without word j, what follows j moving up. Zero elsewhere; below zero where word t is
    likelier without word j. speak: see `udfs.explain.joined_model.Sight`. feature: the photo's, (feature size,).
    """
    count = len(caption)
    effects = np.zeros((count, count), "float32")
    if count < 2:
        return effects
    whole = [START, *caption[:-1]]
    rows = [whole, *([*whole[: j + 1], *whole[j + 2 :], PADDING] for j in range(count - 1))]
    found = np.asarray(speak(np.array(rows, "int32"), np.repeat(feature[None], count, axis=0)))
    for t in range(1, count):
        without = found[1 : t + 1, t - 1, caption[t]]
        effects[t, :t] = found[0, t, caption[t]] - without
    return effects
