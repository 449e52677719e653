"""Which words tell an evaluated population from the training one, and what it names that training hardly saw."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from udfs.scoring.populations import discoveries, log_odds

LEAST_PHOTOS = 5  # a word in fewer photos of both populations is left out
UNSEEN = 15


def word_shift(tokens: pd.DataFrame, training: int, other: int, most: int) -> dict:
    """The words most over- and under-represented in the other population, counted once a photo.

    tokens: a row a word, with training_photos and other_photos; training, other: photos with captions on each side.
    """
    words = tokens[tokens.training_photos + tokens.other_photos >= LEAST_PHOTOS]
    shares = words.other_photos.to_numpy(float), other, words.training_photos.to_numpy(float), training
    odds, z = log_odds(*shares) if len(words) else (np.zeros(0), np.zeros(0))
    words = words.assign(odds=odds, z=z, beyond_chance=discoveries(z)).sort_values("z", ascending=False)

    def rows(some: pd.DataFrame) -> list[dict]:
        return [
            {
                "word": row.Index,
                "training_share": round(row.training_photos / training, 4),
                "evaluation_share": round(row.other_photos / other, 4),
                "log_odds": round(row.odds, 3),
                "z": round(row.z, 2),
                "beyond_chance": bool(row.beyond_chance),
            }
            for row in some.itertuples()
        ]

    return {
        "tested": len(words),
        "beyond_chance": int(words.beyond_chance.sum()),
        "over_represented": rows(words[words.z > 0].head(most)),
        "under_represented": rows(words[words.z < 0].tail(most)[::-1]),
    }


def unseen_words(tokens: pd.DataFrame) -> dict:
    """Words of the other population that no training caption holds: their number, share of all words, the most frequent."""
    unseen = tokens[(tokens.training == 0) & (tokens.other > 0)].sort_values("other_photos", ascending=False)
    return {
        "distinct": len(unseen),
        "share": round(float(unseen.other.sum()) / max(1, int(tokens.other.sum())), 5),
        "most_frequent": [
            {"word": row.Index, "photos": int(row.other_photos)} for row in unseen.head(UNSEEN).itertuples()
        ],
    }


def photos_to_add(training_photos: int, training: int, share: float) -> int:
    """How many photos with a word bring its share of the training photos to `share`: (k + n) / (N + n) = share."""
    return max(0, math.ceil((share * training - training_photos) / (1 - share))) if share < 1 else 0


def missing_words(shift: dict, tokens: pd.DataFrame, training: int) -> list[dict]:
    """What training photos to add so that the over-represented words beyond chance get their share."""
    return [
        {
            **row,
            "photos_to_add": photos_to_add(int(tokens.training_photos[row["word"]]), training, row["evaluation_share"]),
        }
        for row in shift["over_represented"]
        if row["beyond_chance"]
    ]
