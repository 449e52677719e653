"""The reward of a sampled caption: CIDEr-D, sentence BLEU-4 and BLEU-1 against the photo's references, on token ids.

The end token counts as a word, so that a caption that ends where its references do earns more than one that goes on (Rennie et
al., 2017, "Self-critical sequence training for image captioning", section 4).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from udfs.captioner.text import END, PADDING, START
from udfs.scoring.cider import Vectors, cider_d_of, ngram_counts, tf_idf

Caption = list[str]


class CaptionRewards:
    """Rewards by the document frequencies of the training references.

    Args:
        references: Token ids int32 (photos, captions, width) of all training photos; unused captions are zeros.
        bleu_weight: What a sentence BLEU-4 of 1 earns beside CIDEr-D, which is at most 10.
        bleu1_weight: What a sentence BLEU-1 of 1 earns besides.
    """

    def __init__(self, references: Sequence[np.ndarray], bleu_weight: float, bleu1_weight: float = 0.0):
        self._documents: Counter[str] = Counter()
        self._photos, self._bleu_weights = 0, {4: bleu_weight, 1: bleu1_weight}
        for captions in references:
            texts = [caption for row in captions if (caption := ended(row))]
            self._documents.update({gram for text in texts for counts in ngram_counts(text) for gram in counts})
            self._photos += 1

    def of(self, samples: np.ndarray, references: np.ndarray, photo_of_reference: np.ndarray) -> np.ndarray:
        """The reward of each sample.

        Args:
            samples: Token ids int32 (photos, samples, steps), from the first word on. One that does not end earns 0.
            references: Token ids int32 (captions, width), from the start token on.
            photo_of_reference: The photo of each reference, int32 (captions,).

        Returns:
            float64 (photos, samples).
        """
        rewards = np.zeros(samples.shape[:2])
        for photo, rows in enumerate(samples):
            texts = [text for row in references[photo_of_reference == photo] if (text := ended(row))]
            if texts:
                counts = [ngram_counts(text) for text in texts]
                vectors = [self._vectors(one, text) for one, text in zip(counts, texts, strict=True)]
                rewards[photo] = [self._reward(ended(row), texts, counts, vectors) for row in rows]
        return rewards

    def _reward(
        self, sample: Caption, texts: list[Caption], counts: list[list[Counter]], vectors: list[Vectors]
    ) -> float:
        if not sample:
            return 0.0
        own, lengths = ngram_counts(sample), [len(text) for text in texts]
        score = cider_d_of(self._vectors(own, sample), vectors)
        bleu = (
            weight * sentence_bleu(len(sample), own[:order], lengths, counts)
            for order, weight in self._bleu_weights.items()
            if weight
        )
        return score + sum(bleu)

    def _vectors(self, counts: list[Counter], text: Caption) -> Vectors:
        return Vectors(len(text), tf_idf(counts, self._documents, max(self._photos, 2)))


def ended(row: np.ndarray) -> Caption:
    """The words of a caption with its end token, as texts; empty if it has no end."""
    words = [str(token) for token in row.tolist() if token not in (PADDING, START)]
    return words if words and words[-1] == str(END) else []


def sentence_bleu(length: int, counts: list[Counter], lengths: list[int], references: list[list[Counter]]) -> float:
    """BLEU of one caption, with one added to the counts of n-grams longer than a word (Lin and Och, 2004, "ORANGE").

    Args:
        length: Words in the caption.
        counts: Its n-grams by order; their number is the order of the BLEU.
        lengths: Words in each reference.
        references: The n-grams of each reference by order.
    """
    logs = 0.0
    for order, own in enumerate(counts):
        most: Counter[str] = Counter()
        for reference in references:
            most |= reference[order]
        matches, total, added = sum((own & most).values()), sum(own.values()), min(order, 1)
        if not matches + added:
            return 0.0
        logs += math.log((matches + added) / (total + added))
    closest = min(lengths, key=lambda words: (abs(words - length), words))
    return math.exp(min(0.0, 1 - closest / length) + logs / len(counts))
