"""Which words tell an evaluated population from the training population, and which of them training lacks."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from udfs.scoring.populations import discoveries, log_odds

MIN_PHOTOS = 5  # in both populations together; rarer words are not tested
UNSEEN = 15  # unseen words that are listed


def word_shift(tokens: pd.DataFrame, training: int, other: int, most: int) -> dict:
    """Compares in how many photos' captions each word occurs.

    Args:
        tokens: A row for each word, with `training_photos` and `other_photos`.
        training: Training photos with captions.
        other: Evaluated photos with captions.
        most: The number of words to list on each side.

    Returns:
        `tested` words, how many of them differ `beyond_chance`, and the `over_represented` and `under_represented` ones among
        the evaluated photos.
    """
    words = tokens[tokens.training_photos + tokens.other_photos >= MIN_PHOTOS]
    counts = words.other_photos.to_numpy(float), other, words.training_photos.to_numpy(float), training
    odds, z = log_odds(*counts) if len(words) else (np.zeros(0), np.zeros(0))
    words = words.assign(odds=odds, z=z, beyond_chance=discoveries(z)).sort_values("z", ascending=False)
    return {
        "tested": len(words),
        "beyond_chance": int(words.beyond_chance.sum()),
        "over_represented": _listed(words[words.z > 0].head(most), training, other),
        "under_represented": _listed(words[words.z < 0].tail(most)[::-1], training, other),
    }


def _listed(words: pd.DataFrame, training: int, other: int) -> list[dict]:
    return [
        {
            "word": row.Index,
            "training_share": round(row.training_photos / training, 4),
            "evaluation_share": round(row.other_photos / other, 4),
            "log_odds": round(row.odds, 3),
            "z": round(row.z, 2),
            "beyond_chance": bool(row.beyond_chance),
        }
        for row in words.itertuples()
    ]


def unseen_words(tokens: pd.DataFrame) -> dict:
    """Returns the number of evaluated words that no training caption has, their share of all words, and the most frequent."""
    unseen = tokens[(tokens.training == 0) & (tokens.other > 0)].sort_values("other_photos", ascending=False)
    return {
        "distinct": len(unseen),
        "share": round(float(unseen.other.sum()) / max(1, int(tokens.other.sum())), 5),
        "most_frequent": [
            {"word": row.Index, "photos": int(row.other_photos)} for row in unseen.head(UNSEEN).itertuples()
        ],
    }


def photos_to_add(training_photos: int, training: int, share: float) -> int:
    """Returns the number n of photos with a word to add so that they are `share` of all: (k + n) / (N + n) = share.

    Args:
        training_photos: k, the training photos with the word.
        training: N, all training photos.
        share: The wanted share.
    """
    return max(0, math.ceil((share * training - training_photos) / (1 - share))) if share < 1 else 0


def missing_words(shift: dict, tokens: pd.DataFrame, training: int) -> list[dict]:
    """Returns the significantly over-represented words, each with the number of training photos to add."""
    return [
        {
            **row,
            "photos_to_add": photos_to_add(int(tokens.training_photos[row["word"]]), training, row["evaluation_share"]),
        }
        for row in shift["over_represented"]
        if row["beyond_chance"]
    ]
