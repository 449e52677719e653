"""The engine of one worker in this process: what each setting does to a step."""

import numpy as np
import pytest
import tensorflow as tf

from udfs.captioner.beam_search import load_captioner
from udfs.captioner.model import CaptionerShape, build_captioner, logits_head, summed_loss
from udfs.engine import step as training_step
from udfs.engine.collectives import Exchange
from udfs.engine.optimizers import CLASSES
from udfs.engine.plan import Plan
from udfs.engine.reader import Batch, ExampleFile, Split
from udfs.engine.step import Engine, compact, dense

SHAPE = CaptionerShape(vocabulary_size=23, feature_size=7, embedding_dim=6, lstm_units=6, dropout=0.0)
SPLIT = Split(((ExampleFile("none", 8, 8),),), 8)
SETTINGS = {
    "epochs": 2, "batch_size": 4, "length_window": 0, "optimizer": "sgd", "learning_rate": 0.1,
    "learning_rate_schedule": "constant", "learning_rate_decay": 0.5, "clip_norm": 0.0, "l1": 0.0, "l2": 0.0,
    "weight_decay": 0.0, "label_smoothing": 0.0, "ema_momentum": 0.0, "seed": 0, "token_counts": (),
    "precision": "float64", "deterministic": True,
    "collectives": "ring", "sync_every": 1, "average_every": 0, "outer_momentum": 0.0,
    "all_reduce": "full", "embedding_gradient": "dense",
    "gradient_rank": 0, "gradient_sides": 2,
    "validation_bleu": False, "validation_beam_width": 1,
    "monitor": "val_loss", "patience": 0, "checkpoint_every": 0, "keep_checkpoints": 1,
}  # fmt: skip
ONCE = (0, 1, 1, 0)


@pytest.fixture(autouse=True)
def usual_numbers():
    yield
    tf.keras.config.set_dtype_policy("float32")
    tf.keras.config.set_floatx("float32")


def engine(shape: CaptionerShape = SHAPE, **settings) -> Engine:
    plan = Plan("none", shape, SPLIT, SPLIT, **{**SETTINGS, **settings})
    return Engine(tf.distribute.get_strategy(), plan)


def batch(seed: int, captions: int) -> Batch:
    random = np.random.default_rng(seed)
    tokens = random.integers(3, 23, (captions, 7)).astype("int32")
    tokens[:, 0], lengths = 1, random.integers(2, 8, captions)
    tokens[np.arange(7)[None, :] >= lengths[:, None]] = 0
    return Batch(tokens, random.normal(size=(captions, 7)).astype("float32"))


def joined(one: Batch, other: Batch) -> Batch:
    return Batch(np.concatenate([one.tokens, other.tokens]), np.concatenate([one.photo, other.photo]))


def moved(found: Engine, *batches: Batch) -> list[np.ndarray]:
    """What the weights changed by."""
    before = found.weights()
    for number, part in enumerate(batches, 1):
        found.train(part, ONCE, update=number == len(batches))
    return [after - then for then, after in zip(before, found.weights(), strict=True)]


def largest(one: list, other: list) -> float:
    return max(np.abs(a - b).max() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("embedding_gradient", ["dense", "auto"])
def test_gradients_of_several_steps_add_up_to_that_of_the_large_batch(embedding_gradient):
    parts = batch(1, 4), batch(2, 3)
    split = moved(engine(embedding_gradient=embedding_gradient), *parts)
    assert largest(split, moved(engine(), joined(*parts))) < 1e-14


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_an_update_that_xla_compiles_is_the_same(optimizer, monkeypatch):
    settings = {
        "optimizer": optimizer,
        "learning_rate_schedule": "cosine",
        "ema_momentum": 0.9,
        "clip_norm": 1.0,
        "l2": 1e-3,
    }
    plain = moved(engine(**settings), batch(1, 4))
    monkeypatch.setattr(training_step, "COMPILED_PARAMETERS", 0)
    assert largest(plain, moved(engine(**settings), batch(1, 4))) < 1e-14


def test_a_micro_step_changes_nothing_and_its_sums_come_with_the_update():
    found = engine()
    before = found.weights()
    assert found.train(batch(1, 4), ONCE, update=False).tolist() == [0, 0, 0]
    assert largest(before, found.weights()) == 0
    words = sum(int((part.tokens[:, 1:] != 0).sum()) for part in (batch(1, 4), batch(2, 3)))
    assert found.train(batch(2, 3), ONCE)[2] == words


@pytest.mark.parametrize("name", CLASSES)
def test_every_optimizer_lowers_the_loss(name):
    decay = {"weight_decay": 0.004} if name == "adamw" else {}
    found = engine(optimizer=name, learning_rate=0.02, **decay)
    losses = [found.train(batch(1, 4), ONCE)[0] for _ in range(12)]
    assert losses[-1] < losses[0]


def test_penalties_enter_the_mean_gradient_once_and_spare_biases():
    plain, l1, l2 = (moved(engine(**penalty), batch(1, 4)) for penalty in ({}, {"l1": 0.03}, {"l2": 0.05}))
    weights = engine().weights()
    for weight, by_loss, by_l1, by_l2 in zip(weights, plain, l1, l2, strict=True):
        matrix = weight.ndim > 1
        np.testing.assert_allclose(by_l1 - by_loss, -0.1 * 0.03 * np.sign(weight) * matrix, atol=1e-15)
        np.testing.assert_allclose(by_l2 - by_loss, -0.1 * 2 * 0.05 * weight * matrix, atol=1e-15)


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop"])
def test_weight_decay_is_decoupled_from_the_gradient_and_spares_biases(name):
    # Against no decay of the same optimizer; adam is adamw without one.
    plain = moved(engine(optimizer="adam" if name == "adamw" else name), batch(1, 4))
    decayed = moved(engine(optimizer=name, weight_decay=0.2), batch(1, 4))
    for weight, without, with_decay in zip(engine().weights(), plain, decayed, strict=True):
        np.testing.assert_allclose(with_decay - without, -0.1 * 0.2 * weight * (weight.ndim > 1), atol=1e-12)


def test_label_smoothing_is_that_of_keras_and_leaves_the_reported_loss_alone():
    part, found = batch(1, 4), engine(label_smoothing=0.1)
    target, loss, _, words = summed_loss(found.captioner)(part.tokens, part.photo.astype("float64"), False, 0.1)
    logits = found.captioner([part.tokens[:, :-1], part.photo.astype("float64")]).numpy()
    there = part.tokens[:, 1:] != 0
    hot = np.eye(23)[part.tokens[:, 1:][there]]
    smoothed = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction="sum")
    assert float(target) == pytest.approx(float(smoothed(hot, logits[there])), rel=1e-12)
    assert found.validate(part)[0] == pytest.approx(float(loss), rel=1e-12)
    assert float(loss) < float(target)
    assert float(words) == there.sum()


def test_the_learning_rate_falls_by_its_schedule():
    # Two epochs of two updates each.
    rates = {}
    for schedule in ("constant", "linear", "cosine", "exponential"):
        found, rates[schedule] = engine(learning_rate_schedule=schedule), []
        for _ in range(4):
            rates[schedule].append(found.learning_rate)
            found.train(batch(1, 4), ONCE)
    assert rates["constant"] == pytest.approx([0.1] * 4)
    assert rates["linear"] == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert rates["cosine"] == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 4)) for n in range(4)])
    assert rates["exponential"] == pytest.approx([0.1 * 0.5 ** (n / 2) for n in range(4)])


def test_a_part_without_words_changes_nothing():
    empty = Batch(np.zeros((1, 2), "int32"), np.zeros((1, 7), "float32"))
    assert largest(moved(engine(average_every=1), empty), [np.zeros(1)] * len(engine().weights())) == 0


def test_tied_embeddings_share_one_matrix_and_are_saved(tmp_path):
    tied = CaptionerShape(**{**vars(SHAPE), "tie_embeddings": True})
    found = engine(tied, precision="float32")
    assert sum(weight.size for weight in found.weights()) == tied.parameters
    assert tied.parameters == SHAPE.parameters - (6 + 1) * 23
    (embedding,) = [weight for weight in found.weights() if weight.shape == (23, 6)]
    hidden = np.ones((2, 6), "float32")
    np.testing.assert_allclose(logits_head(found.captioner)(hidden), hidden @ embedding.T, rtol=1e-6)
    losses = [found.train(batch(1, 4), ONCE)[0] for _ in range(20)]
    assert losses[-1] < losses[0]
    found.captioner.save(tmp_path / "model.keras")
    loaded = load_captioner((tmp_path / "model.keras").read_bytes())
    part = batch(2, 3)
    same = [model([part.tokens, part.photo]).numpy() for model in (found.captioner, loaded)]
    np.testing.assert_array_equal(*same)


def test_mixed_precision_computes_in_16_bits_on_weights_of_32():
    mixed, full = engine(precision="mixed_bfloat16"), engine(precision="float32")
    mixed.restore(full.snapshot())
    assert {weight.dtype for weight in mixed.weights()} == {np.dtype("float32")}
    a, b = (found.train(batch(1, 4), ONCE) for found in (mixed, full))
    assert a[0] != b[0]
    assert a[0] == pytest.approx(b[0], rel=0.02)
    assert a[2] == b[2]
    steps = zip(moved(mixed, batch(1, 4)), moved(full, batch(1, 4)), strict=True)
    assert max(np.linalg.norm(x - y) / np.linalg.norm(y) for x, y in steps) < 0.1


def test_compact_rows_are_the_same_matrix():
    variable = tf.Variable(np.random.default_rng(0).normal(size=(9, 2)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(variable, [3, 1, 3, 8, 1, 3]) ** 2)
    gradient = tape.gradient(loss, variable)
    rows = compact(gradient)
    assert sorted(rows.indices.numpy().tolist()) == [1, 3, 8]
    np.testing.assert_allclose(dense(rows), tf.convert_to_tensor(gradient), rtol=1e-15)


@pytest.mark.parametrize(
    ("workers", "rows", "smaller"), [(2, 400, True), (2, 999, False), (4, 400, True), (4, 500, False)]
)
def test_rows_are_gathered_only_where_that_is_less(workers, rows, smaller):
    # 1,000 words of 64 numbers: the ring sends 2 (n - 1) / n of the matrix, a gather (n - 1) times the rows.
    found = Exchange(tf.distribute.get_strategy(), workers, "float32", "full")
    assert found.rows_are_smaller(rows, 1000, 64) is smaller


def test_a_captioner_is_built_in_the_usual_numbers_again():
    assert build_captioner(SHAPE).trainable_variables[0].dtype == "float32"


def test_a_moving_average_of_the_weights_is_lent_and_taken_back():
    found = engine(ema_momentum=0.75)
    expected = None
    for seed in range(4):
        found.train(batch(seed, 4), ONCE)
        now = found.weights()
        expected = now if expected is None else [0.75 * a + 0.25 * b for a, b in zip(expected, now, strict=True)]
    with found.averaged():
        lent = found.weights()
    for one, other in zip(lent, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)
    for one, other in zip(found.weights(), now, strict=True):
        np.testing.assert_array_equal(one, other)

    again = engine(ema_momentum=0.75)
    again.restore(found.snapshot())
    with again.averaged():
        for one, other in zip(again.weights(), lent, strict=True):
            np.testing.assert_array_equal(one, other)


def test_without_an_average_the_weights_stay():
    found = engine()
    found.train(batch(1, 4), ONCE)
    own = found.weights()
    with found.averaged():
        for one, other in zip(found.weights(), own, strict=True):
            np.testing.assert_array_equal(one, other)
