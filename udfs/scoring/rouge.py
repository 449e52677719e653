"""ROUGE-L of captions (Lin, 2004, "ROUGE: A package for automatic evaluation of summaries", section 3) for a map step.

The results equal those of the COCO caption evaluation's `Rouge`, but for its tokeniser: here, words are given. The package
`rouge-score` computes another ROUGE-L: it has no beta, and takes precision and recall from the same reference.
"""

from __future__ import annotations

BETA = 1.2  # the weight of recall against precision in the COCO caption evaluation


def rouge_l(hypothesis: list[str], references: list[list[str]]) -> float:
    """Computes a caption's ROUGE-L, (1 + beta^2) P R / (R + beta^2 P).

    P and R are the longest common subsequence's shares of the caption and of the reference, each the largest of all
    references. They may come from different references.

    Args:
        hypothesis: The caption's words.
        references: The words of each reference, at least one.

    Returns:
        The score, from 0 to 1.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(hypothesis):
        places[word] = places.get(word, 0) | 1 << place
    common = [_common_length(places, len(hypothesis), reference) for reference in references]
    precision = max(common) / max(1, len(hypothesis))
    recall = max(length / max(1, len(reference)) for length, reference in zip(common, references, strict=True))
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _common_length(places: dict[str, int], length: int, other: list[str]) -> int:
    """The length of the longest common subsequence of two texts.

    Computes a row of the dynamic programme at a time as the bits of one number (Hyyrö, 2004, "Bit-parallel LCS-length
    computation revisited"): a zero is a place of the first text at which the length grows.

    Args:
        places: {word: the places of the word in the first text, as bits}.
        length: The number of words in the first text.
        other: The second text.
    """
    full = (1 << length) - 1
    row = full
    for word in other:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & full
    return length - row.bit_count()
