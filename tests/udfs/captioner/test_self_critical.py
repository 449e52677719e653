"""Sampling, rewards, and the gradient of the expected reward."""

from itertools import product

import numpy as np
import pytest
import tensorflow as tf

from udfs.captioner.model import build_captioner
from udfs.captioner.rewards import CaptionRewards, ended, sentence_bleu
from udfs.captioner.sampling import never_sampled, sample_captions
from udfs.captioner.self_critical import SelfCriticalTask, self_critical_loss
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.text import END, START
from udfs.captioner.validation import LENGTH_RATIO, BleuScorer
from udfs.engine.batches import example_seeds
from udfs.engine.replica import set_precision
from udfs.scoring.cider import cider_d, ngram_counts

A, B, C = 4, 5, 6
SHAPE = CaptionerShape(vocabulary_size=7, feature_shape=(3,), embedding_dim=4, lstm_units=4, dropout=0.0)
REFERENCES = np.array(
    [[START, A, B, C, A, END], [START, A, B, A, END, 0], [START, B, B, END, 0, 0], [START, C, END, 0, 0, 0]]
)
PHOTO_OF_CAPTION = np.array([0, 0, 1, 1], "int32")


@pytest.fixture(scope="module")
def captioner():
    tf.keras.utils.set_random_seed(1)
    set_precision("float64")
    try:
        return build_captioner(SHAPE)
    finally:
        set_precision("float32")


@pytest.fixture(scope="module")
def rewards():
    return CaptionRewards([REFERENCES[:2], REFERENCES[2:]], bleu_weight=1.0, bleu1_weight=0.5)


def seeds_of(count: int, shard: int = 0) -> np.ndarray:
    return example_seeds((0, 1), np.array([(shard, place) for place in range(count)]))


def test_a_reward_is_cider_d_and_bleu_with_the_end_as_a_word(rewards):
    samples = np.array([[[A, B, C, A, END], [B, END, 0, 0, 0]], [[B, B, END, 0, 0], [A, A, A, A, A]]])
    found = rewards.of(samples, REFERENCES, PHOTO_OF_CAPTION)
    texts = [[ended(row) for row in rows] for rows in (REFERENCES[:2], REFERENCES[2:])]
    documents: dict[str, int] = {}
    for rows in texts:
        for gram in {gram for text in rows for counts in ngram_counts(text) for gram in counts}:
            documents[gram] = documents.get(gram, 0) + 1
    for photo, sample in product(range(2), range(2)):
        text = ended(samples[photo, sample])
        if not text:
            assert found[photo, sample] == 0, "it never ends"
            continue
        counts = [ngram_counts(reference) for reference in texts[photo]]
        bleu4, bleu1 = (
            sentence_bleu(len(text), ngram_counts(text)[:order], list(map(len, texts[photo])), counts)
            for order in (4, 1)
        )
        assert found[photo, sample] == pytest.approx(cider_d(text, texts[photo], documents, 2) + bleu4 + 0.5 * bleu1)
    assert found[0, 0] > found[0, 1]


def test_sentence_bleu_by_hand():
    """Of `a b c` against `a b d d`: 2 of 3 words, (1 + 1) of (2 + 1) pairs, 1 of (1 + 1) triples, 1 of (0 + 1)."""
    one, other = (ngram_counts(text.split()) for text in ("a b c", "a b d d"))
    expected = (2 / 3 * 2 / 3 * 1 / 2 * 1) ** 0.25 * np.exp(1 - 4 / 3)
    assert sentence_bleu(3, one, [4], [other]) == pytest.approx(expected)
    assert sentence_bleu(3, one[:1], [4], [other]) == pytest.approx(2 / 3 * np.exp(1 - 4 / 3))


def test_samples_follow_the_models_distribution(captioner):
    photo = np.array([[0.3, -1.0, 2.0]])
    encoded = captioner.encode(np.repeat(photo, 4000, axis=0))
    drawn = sample_captions(captioner, encoded, seeds_of(4000), 5, 3, 0.8).numpy()
    assert not set(np.unique(drawn)) & {START, 3}
    first = np.bincount(drawn[:, 0], minlength=7) / len(drawn)
    logits = captioner([np.array([[START]]), photo]).numpy()[0, 0] / 0.8 + never_sampled(captioner)
    np.testing.assert_allclose(first, tf.nn.softmax(logits), atol=0.015)
    ends = np.argmax(drawn == END, axis=1)
    assert all(not row[end + 1 :].any() for row, end in zip(drawn, ends, strict=True) if END in row)


def test_a_photos_samples_do_not_depend_on_its_batch(captioner):
    photos, seeds = np.random.default_rng(0).normal(size=(6, 3)), seeds_of(6)
    whole = sample_captions(captioner, captioner.encode(photos), seeds, 3, 5, 1.0).numpy().reshape(6, 3, 5)
    for part in ([4], [5, 1], [2, 3, 0]):
        alone = sample_captions(captioner, captioner.encode(photos[part]), seeds[part], 3, 5, 1.0).numpy()
        np.testing.assert_array_equal(alone.reshape(len(part), 3, 5), whole[part])
    assert len(np.unique(whole.reshape(18, 5), axis=0)) > 6


def test_the_gradient_is_that_of_the_expected_reward(captioner, rewards):
    """Of all captions of at most two tokens, which can be enumerated; the estimate is the mean over 6,000 draws."""
    count, steps = 1500, 2
    task = SelfCriticalTask(SHAPE, steps + 1, by_photo=True, samples=4, cross_entropy_weight=0.0)
    photo = np.array([[0.3, -1.0, 2.0]])
    references = np.array([[START, A, END], [START, A, END]])
    tokens, of_caption = np.tile(references, (count, 1)), np.repeat(np.arange(count), 2).astype("int32")
    loss = tf.function(self_critical_loss(captioner, task, rewards))
    with tf.GradientTape() as tape:
        sums = loss(tf.constant(tokens, tf.int32), of_caption, np.repeat(photo, count, axis=0), seeds_of(count), False)
    found = tape.gradient(sums.objective, captioner.trainable_variables)

    with tf.GradientTape() as tape:
        encoded, expected = captioner.encode(photo), 0.0
        for words in product((END, A, B, C), repeat=steps):
            caption = (END, 0) if words[0] == END else words
            if words[0] == END and words[1] != A:
                continue  # the end is the same caption, whatever would follow
            hidden = captioner.hidden(np.array([[START, caption[0]]]), encoded)
            logs = tf.nn.log_softmax(captioner.logits(hidden)[0] + never_sampled(captioner))
            log = logs[0, caption[0]] + (logs[1, caption[1]] if caption[1] else 0.0)
            reward = rewards.of(np.array([[caption]]), references, np.zeros(2, "int32"))[0, 0]
            expected -= tf.exp(log) * reward
    wanted = tape.gradient(expected, captioner.trainable_variables)
    one, other = (np.concatenate([np.ravel(tf.convert_to_tensor(part)) for part in parts]) for parts in (found, wanted))
    one /= count * task.samples
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.995
    assert np.linalg.norm(one) == pytest.approx(np.linalg.norm(other), rel=0.1)


def test_the_cross_entropy_and_its_metrics_are_those_of_the_references(captioner, rewards):
    task = SelfCriticalTask(SHAPE, 6, by_photo=True, samples=2, cross_entropy_weight=1.0)
    photos, batch = np.eye(2, 3), (tf.constant(REFERENCES, tf.int32), PHOTO_OF_CAPTION)
    found = self_critical_loss(captioner, task, rewards)(*batch, photos, seeds_of(2), False)
    plain = super(SelfCriticalTask, task).loss_function(captioner)(*batch, photos, False)
    assert [float(x) for x in (found.objective, found.loss, found.weight, found.metrics[0])] == pytest.approx(
        [float(x) for x in (plain.objective, plain.loss, plain.weight, plain.metrics[0])]
    )
    assert 0 <= float(found.metrics[1]) / float(found.weight) <= 11


@pytest.mark.parametrize(
    ("bleu4", "ratio", "reason"),
    [
        (0.21, 0.97, ""),
        (0.16, 1.0, ""),
        (0.19, 1.4, "captions are 1.40 times as long"),
        (0.1, 0.9, "BLEU-4 fell from 0.200"),
    ],
)
def test_a_collapse_ends_self_critical_training_alone(captioner, bleu4, ratio, reason):
    history = [{"bleu4": 0.2, LENGTH_RATIO: 1.0}, {"bleu4": bleu4, LENGTH_RATIO: ratio}]
    assert reason in BleuScorer(captioner, 5, stops_collapse=True).stop_reason(history)
    assert bool(BleuScorer(captioner, 5, stops_collapse=True).stop_reason(history)) == bool(reason)
    assert not BleuScorer(captioner, 5).stop_reason(history)
