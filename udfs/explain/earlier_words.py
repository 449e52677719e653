"""Which earlier words a word depends on: each is left out in turn ("erasure"; Li, Monroe and Jurafsky, 2016).

The captioner predicts the word after a caption that it could have read, so effects are differences of log-probabilities, in
nats. Gradients with respect to the embeddings would evaluate it between words, and would need access to its layers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from udfs.captioner.text import PADDING, START


def leave_one_out(next_word_log_probabilities: Callable, caption: list[int], feature: np.ndarray) -> np.ndarray:
    """Computes how much each word's log-probability falls if one of the words before it is left out.

    Args:
        next_word_log_probabilities: As in `udfs.explain.joined_model.JoinedModel`.
        caption: Token ids of the caption's words.
        feature: The photo's feature, (feature size,).

    Returns:
        The falls in nats, float32 (words, words). Row t, column j < t: the fall of word t without word j, where the words
        after j move forward by one. It is negative if word t is likelier without word j. All other elements are zero.
    """
    count = len(caption)
    effects = np.zeros((count, count), "float32")
    if count < 2:
        return effects
    read = [START, *caption[:-1]]
    rows = [read, *([*read[: j + 1], *read[j + 2 :], PADDING] for j in range(count - 1))]
    scores = np.asarray(next_word_log_probabilities(np.array(rows, "int32"), np.repeat(feature[None], count, axis=0)))
    for t in range(1, count):
        without = scores[1 : t + 1, t - 1, caption[t]]
        effects[t, :t] = scores[0, t, caption[t]] - without
    return effects
