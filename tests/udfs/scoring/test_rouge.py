import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.scoring.rouge import BETA, rouge_l

# Captions with the scores that the COCO caption evaluation's own code gave them.
REFERENCE = json.loads((Path(__file__).parent / "coco_reference.json").read_text())
CAPTIONS = REFERENCE["captions"]

sentence = st.lists(st.sampled_from(["a", "dog", "runs", "on", "the", "sand"]), max_size=14)


def score(hypothesis: str, *references: str) -> float:
    return rouge_l(hypothesis.split(), [reference.split() for reference in references])


def longest_common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The textbook's recursion."""

    @cache
    def length(m: int, n: int) -> int:
        if not m or not n:
            return 0
        if one[m - 1] == other[n - 1]:
            return 1 + length(m - 1, n - 1)
        return max(length(m - 1, n), length(m, n - 1))

    return length(len(one), len(other))


def test_equals_the_reference_implementation():
    scores = [score(row["hypothesis"], *row["references"]) for row in CAPTIONS]
    assert scores == pytest.approx([row["rouge_l"] for row in CAPTIONS], abs=1e-12)
    assert sum(scores) / len(scores) == pytest.approx(REFERENCE["rouge_l"], abs=1e-12)
    assert len(set(scores)) > 5


def test_equals_a_value_computed_by_hand():
    # "a dog on sand" is common with the first reference: P = 4/5, R = 4/8; "a dog" with the second: P = 2/5, R = 2/2.
    value = score("a brown dog on sand", "there is a dog on the yellow sand", "a dog")
    assert value == pytest.approx((1 + 1.44) * 0.8 * 1.0 / (1.0 + 1.44 * 0.8))


def test_of_nothing_in_common_is_zero_and_of_the_same_is_one():
    assert score("", "a dog") == score("a dog", "") == score("a dog", "two cats") == 0
    assert score("a dog runs", "a dog runs", "cats") == 1
    assert score("runs dog a", "a dog runs") == pytest.approx(1 / 3)


@settings(max_examples=300, deadline=None)
@given(sentence, st.lists(sentence, min_size=1, max_size=4))
def test_equals_the_recursion(hypothesis, references):
    lengths = [longest_common(tuple(hypothesis), tuple(reference)) for reference in references]
    if max(lengths) == 0:
        assert rouge_l(hypothesis, references) == 0
        return
    precision = max(length / len(hypothesis) for length in lengths)
    recall = max(length / len(reference) for length, reference in zip(lengths, references, strict=True) if reference)
    expected = (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
    assert rouge_l(hypothesis, references) == pytest.approx(expected, abs=1e-12)
