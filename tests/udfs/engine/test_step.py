"""The engine of one worker in this process: what each setting does to a step."""

import numpy as np
import pytest
import tensorflow as tf
from plans import with_changes

from udfs.captioner.examples import joined
from udfs.captioner.memory import parameters
from udfs.captioner.model import build_captioner, load_captioner
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.training import CaptionerTask, next_word_loss
from udfs.engine import step as training_step
from udfs.engine.communication.collectives import Collectives
from udfs.engine.gradients import compact, dense
from udfs.engine.optimizers import CLASSES
from udfs.engine.plan import CommunicationPlan, OptimizerPlan, Plan
from udfs.engine.reader import ExampleFile, Split
from udfs.engine.replica import Replica

SHAPE = CaptionerShape(vocabulary_size=23, feature_shape=(7,), embedding_dim=6, lstm_units=6, dropout=0.0)
SPLIT = Split(((ExampleFile("none", 8, 8),),))
OPTIMIZER = OptimizerPlan(
    name="sgd", momentum=0.0, nesterov=False, learning_rate=0.1, schedule="constant", decay=0.5, clip_norm=0.0, l1=0.0,
    l2=0.0, weight_decay=0.0, ema_decay=0.0, warmup_steps=0,
)  # fmt: skip
COMMUNICATION = CommunicationPlan(
    gradient_accumulation_steps=1, local_sgd_steps=0, outer_momentum=0.0, dtype="full", powersgd_rank=0,
    sparse_embedding=False, collectives="ring",
)  # fmt: skip
PLAN = Plan(
    run_folder="none", task=CaptionerTask(SHAPE, 8), train=SPLIT, validation=SPLIT, epochs=2, batch_size=4,
    bucket_by_length=0, optimizer=OPTIMIZER, communication=COMMUNICATION, seed=0, precision="float64", deterministic=True,
    monitor="val_loss", patience=0, checkpoint_every=0, keep_checkpoints=1,
)  # fmt: skip
ONCE = (0, 1, 1, 0)


@pytest.fixture(autouse=True)
def usual_numbers():
    yield
    tf.keras.config.set_dtype_policy("float32")
    tf.keras.config.set_floatx("float32")


def replica(**changes) -> Replica:
    return Replica(tf.distribute.get_strategy(), with_changes(PLAN, **changes))


def batch(seed: int, captions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    tokens = random.integers(3, 23, (captions, 7)).astype("int32")
    tokens[:, 0], lengths = 1, random.integers(2, 8, captions)
    tokens[np.arange(7)[None, :] >= lengths[:, None]] = 0
    return tokens, np.arange(captions, dtype="int32"), random.normal(size=(captions, 7)).astype("float32")


def moved(found: Replica, *batches: tuple) -> list[np.ndarray]:
    """What the weights changed by."""
    before = found.weights()
    for number, part in enumerate(batches, 1):
        found.train(part, ONCE, update=number == len(batches))
    return [after - then for then, after in zip(before, found.weights(), strict=True)]


def largest(one: list, other: list) -> float:
    return max(np.abs(a - b).max() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("sparse_embedding", [False, True])
def test_gradients_of_several_steps_add_up_to_that_of_the_large_batch(sparse_embedding):
    parts = batch(1, 4), batch(2, 3)
    split = moved(replica(sparse_embedding=sparse_embedding), *parts)
    assert largest(split, moved(replica(), joined(parts))) < 1e-14


@pytest.mark.parametrize("optimizer", [{"name": "adam"}, {"name": "sgd", "momentum": 0.9}], ids=str)
def test_an_update_that_xla_compiles_is_the_same(optimizer, monkeypatch):
    settings = {
        **optimizer,
        "schedule": "cosine",
        "ema_decay": 0.9,
        "clip_norm": 1.0,
        "l2": 1e-3,
    }
    plain = moved(replica(**settings), batch(1, 4))
    monkeypatch.setattr(training_step, "COMPILED_PARAMETERS", 0)
    assert largest(plain, moved(replica(**settings), batch(1, 4))) < 1e-14


def test_a_micro_step_changes_nothing_and_its_sums_come_with_the_update():
    found = replica()
    before = found.weights()
    assert found.train(batch(1, 4), ONCE, update=False).values.tolist() == [0, 0, 0]
    assert largest(before, found.weights()) == 0
    words = sum(int((part[0][:, 1:] != 0).sum()) for part in (batch(1, 4), batch(2, 3)))
    assert found.train(batch(2, 3), ONCE).weight == words


SGDS = [{"name": "sgd", "momentum": 0.9}, {"name": "sgd", "momentum": 0.9, "nesterov": True}]


@pytest.mark.parametrize("settings", [*({"name": name} for name in CLASSES), *SGDS], ids=str)
def test_every_optimizer_lowers_the_loss(settings):
    decay = {"weight_decay": 0.004} if settings["name"] == "adamw" else {}
    found = replica(learning_rate=0.02, **settings, **decay)
    losses = [found.train(batch(1, 4), ONCE).loss for _ in range(12)]
    assert losses[-1] < losses[0]


def test_penalties_enter_the_mean_gradient_once_and_spare_biases():
    plain, l1, l2 = (moved(replica(**penalty), batch(1, 4)) for penalty in ({}, {"l1": 0.03}, {"l2": 0.05}))
    weights = replica().weights()
    for weight, by_loss, by_l1, by_l2 in zip(weights, plain, l1, l2, strict=True):
        matrix = weight.ndim > 1
        np.testing.assert_allclose(by_l1 - by_loss, -0.1 * 0.03 * np.sign(weight) * matrix, atol=1e-15)
        np.testing.assert_allclose(by_l2 - by_loss, -0.1 * 2 * 0.05 * weight * matrix, atol=1e-15)


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop"])
def test_weight_decay_is_decoupled_from_the_gradient_and_spares_biases(name):
    # Against no decay of the same optimizer; adam is adamw without one.
    plain = moved(replica(name="adam" if name == "adamw" else name), batch(1, 4))
    decayed = moved(replica(name=name, weight_decay=0.2), batch(1, 4))
    for weight, without, with_decay in zip(replica().weights(), plain, decayed, strict=True):
        np.testing.assert_allclose(with_decay - without, -0.1 * 0.2 * weight * (weight.ndim > 1), atol=1e-12)


def test_label_smoothing_is_that_of_keras_and_leaves_the_reported_loss_alone():
    part, found = batch(1, 4), replica(label_smoothing=0.1)
    tokens, photo_of_caption, photos = part[0], part[1], part[2].astype("float64")
    target, loss, words, _ = next_word_loss(found.model, 0.1)(tokens, photo_of_caption, photos, training=False)
    logits = found.model([tokens[:, :-1], photos[photo_of_caption]]).numpy()
    there = tokens[:, 1:] != 0
    hot = np.eye(23)[tokens[:, 1:][there]]
    smoothed = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction="sum")
    assert float(target) == pytest.approx(float(smoothed(hot, logits[there])), rel=1e-12)
    assert found.validate(part).loss == pytest.approx(float(loss), rel=1e-12)
    assert float(loss) < float(target)
    assert float(words) == there.sum()


def test_the_learning_rate_falls_by_its_schedule():
    # Two epochs of two updates each.
    rates = {}
    for schedule in ("constant", "linear", "cosine", "exponential"):
        found, rates[schedule] = replica(schedule=schedule), []
        for _ in range(4):
            rates[schedule].append(found.learning_rate)
            found.train(batch(1, 4), ONCE)
    assert rates["constant"] == pytest.approx([0.1] * 4)
    assert rates["linear"] == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert rates["cosine"] == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 4)) for n in range(4)])
    assert rates["exponential"] == pytest.approx([0.1 * 0.5 ** (n / 2) for n in range(4)])


def test_the_learning_rate_grows_to_what_the_schedule_says():
    found, rates = replica(schedule="linear", warmup_steps=2), []
    for _ in range(4):
        rates.append(found.learning_rate)
        found.train(batch(1, 4), ONCE)
    assert rates == pytest.approx([0.05, 0.075, 0.05, 0.025])


def test_a_part_without_words_changes_nothing():
    empty = PLAN.task.empty_batch()
    assert largest(moved(replica(local_sgd_steps=1), empty), [np.zeros(1)] * len(replica().weights())) == 0


def test_tied_embeddings_share_one_matrix_and_are_saved(tmp_path):
    tied = CaptionerShape(**{**vars(SHAPE), "tie_embeddings": True})
    found = replica(shape=tied, precision="float32")
    tasks = [CaptionerTask(shape, 8) for shape in (tied, SHAPE)]
    assert sum(weight.size for weight in found.weights()) == parameters(tasks[0])
    assert parameters(tasks[0]) == parameters(tasks[1]) - (6 + 1) * 23
    (embedding,) = [weight for weight in found.weights() if weight.shape == (23, 6)]
    hidden = np.ones((2, 6), "float32")
    np.testing.assert_allclose(found.model.logits(hidden), hidden @ embedding.T, rtol=1e-6)
    losses = [found.train(batch(1, 4), ONCE).loss for _ in range(20)]
    assert losses[-1] < losses[0]
    found.model.save(tmp_path / "model.keras")
    loaded = load_captioner((tmp_path / "model.keras").read_bytes())
    tokens, photo_of_caption, photos = batch(2, 3)
    same = [model([tokens, photos[photo_of_caption]]).numpy() for model in (found.model, loaded)]
    np.testing.assert_array_equal(*same)


def test_mixed_precision_computes_in_16_bits_on_weights_of_32():
    mixed, full = replica(precision="mixed_bfloat16"), replica(precision="float32")
    mixed.restore(full.snapshot())
    assert {weight.dtype for weight in mixed.weights()} == {np.dtype("float32")}
    a, b = (found.train(batch(1, 4), ONCE) for found in (mixed, full))
    assert a.loss != b.loss
    assert a.loss == pytest.approx(b.loss, rel=0.02)
    assert a.weight == b.weight
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
    found = Collectives(tf.distribute.get_strategy(), workers, "float32", "full")
    assert found.rows_are_smaller(rows, 1000, 64) is smaller


def test_a_captioner_is_built_in_the_usual_numbers_again():
    assert build_captioner(SHAPE).trainable_variables[0].dtype == "float32"


def test_a_moving_average_of_the_weights_is_lent_and_taken_back():
    found = replica(ema_decay=0.25)
    expected = None
    for seed, decay in enumerate((0, 2 / 11, 3 / 12, 0.25)):  # min(0.25, (1 + t) / (10 + t))
        found.train(batch(seed, 4), ONCE)
        now = found.weights()
        expected = [decay * a + (1 - decay) * b for a, b in zip(expected or now, now, strict=True)]
    with found.averaged_weights():
        lent = found.weights()
    for one, other in zip(lent, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)
    for one, other in zip(found.weights(), now, strict=True):
        np.testing.assert_array_equal(one, other)

    again = replica(ema_decay=0.25)
    again.restore(found.snapshot())
    with again.averaged_weights():
        for one, other in zip(again.weights(), lent, strict=True):
            np.testing.assert_array_equal(one, other)


def test_without_an_average_the_weights_stay():
    found = replica()
    found.train(batch(1, 4), ONCE)
    own = found.weights()
    with found.averaged_weights():
        for one, other in zip(found.weights(), own, strict=True):
            np.testing.assert_array_equal(one, other)
