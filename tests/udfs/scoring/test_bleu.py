import math
import warnings
from functools import reduce
from operator import add

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate import bleu_score
from nltk.translate.bleu_score import corpus_bleu

from udfs.scoring.bleu import (
    LEGACY_WEIGHTS,
    ORDERS,
    BleuCounts,
    bleu_counts,
    bleu_scores,
    brevity_penalty,
    mean_precisions,
)

sentence = st.lists(st.sampled_from(["a", "dog", "runs", "on", "the", "red", "sand"]), min_size=1, max_size=12)
corpus = st.lists(st.tuples(sentence, st.lists(sentence, min_size=1, max_size=5)), min_size=1, max_size=12)


def scores_of(pairs):
    return bleu_scores(reduce(add, (bleu_counts(hypothesis, references) for hypothesis, references in pairs)))


@settings(max_examples=150, deadline=None)
@given(corpus)
def test_equals_nltk(pairs):
    references, hypotheses = [r for _, r in pairs], [h for h, _ in pairs]
    scores = scores_of(pairs)
    for order in ORDERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = corpus_bleu(references, hypotheses, weights=[1 / order] * order)
        assert scores[f"bleu{order}"] == pytest.approx(expected, abs=1e-9)


# sacrebleu counts no 4-gram in a hypothesis of fewer than four words, where nltk counts one that never matches. With only
# three different words, hypotheses and references have 4-grams in common.
long_sentence = st.lists(st.sampled_from(["a", "dog", "runs"]), min_size=4, max_size=12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(long_sentence, st.lists(long_sentence, min_size=3, max_size=3)), min_size=3, max_size=9))
def test_agrees_with_sacrebleu(pairs):
    hypotheses = [" ".join(h) for h, _ in pairs]
    streams = [[" ".join(r[i]) for _, r in pairs] for i in range(3)]
    expected = sacrebleu.corpus_bleu(hypotheses, streams, tokenize="none", smooth_method="none", force=True).score / 100
    assert scores_of(pairs)["bleu4"] == pytest.approx(expected, abs=1e-9)


def test_of_nothing_is_zero():
    counts = bleu_counts([], [["a", "dog"]])
    assert bleu_scores(counts) == mean_precisions(counts) == {f"bleu{order}": 0.0 for order in ORDERS}
    assert brevity_penalty(counts) == 0


@settings(max_examples=50, deadline=None)
@given(corpus)
def test_penalty_and_what_is_left_of_bleu_without_it_equal_nltk(pairs):
    references, hypotheses = [r for _, r in pairs], [h for h, _ in pairs]
    counts = reduce(add, (bleu_counts(hypothesis, references) for hypothesis, references in pairs))
    penalty = bleu_score.brevity_penalty(counts.reference_length, sum(map(len, hypotheses)))
    assert brevity_penalty(counts) == pytest.approx(penalty, abs=1e-12)
    for order in ORDERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = corpus_bleu(references, hypotheses, weights=[1 / order] * order) / penalty
        assert mean_precisions(counts)[f"bleu{order}"] == pytest.approx(expected, abs=1e-9)


def test_a_short_caption_is_penalised_only_by_the_penalty():
    counts = bleu_counts(["a", "dog"], [["a", "dog", "runs", "fast"]])
    assert brevity_penalty(counts) == pytest.approx(math.exp(-1))
    assert mean_precisions(counts)["bleu2"] == pytest.approx(1)
    assert bleu_scores(counts)["bleu2"] == pytest.approx(math.exp(-1))


def test_counts_add_up():
    one = BleuCounts((1, 0, 0, 0), (2, 1, 1, 1), 2, 3)
    assert one + one == BleuCounts((2, 0, 0, 0), (4, 2, 2, 2), 4, 6)


@settings(max_examples=50, deadline=None)
@given(corpus)
def test_legacy_weights_equal_nltk(pairs):
    counts = reduce(add, (bleu_counts(hypothesis, references) for hypothesis, references in pairs))
    scores = bleu_scores(counts, LEGACY_WEIGHTS)
    published = {1: (1.0, 0, 0, 0), 2: (0.5, 0.5, 0, 0), 3: (0.3, 0.3, 0.3, 0), 4: (0.25, 0.25, 0.25, 0.25)}
    for order, weights in published.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = corpus_bleu([r for _, r in pairs], [h for h, _ in pairs], weights=weights)
        assert scores[f"bleu{order}"] == pytest.approx(expected, abs=1e-9)
