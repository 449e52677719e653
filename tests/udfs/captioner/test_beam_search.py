"""The beam search in TensorFlow against one written plainly, which reads the whole prefix again for each word."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from feature_cells import cells, shapes

from udfs.captioner.beam_search import Decoder, Search, caption_photos
from udfs.captioner.model import build_captioner, load_captioner
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.text import END, PADDING, START, UNKNOWN
from udfs.captioner.vocabulary import Vocabulary
from udfs.engine.replica import set_precision

SHAPE = CaptionerShape(vocabulary_size=17, feature_shape=(6,), embedding_dim=8, lstm_units=8, dropout=0.5)
MAX_LENGTH, SEED = 9, 10
SEARCHES = [
    Search(),
    Search(1, no_repeat_ngram_size=3),
    Search(3),
    Search(3, 1.5),
    Search(20, 0.5, 3),
    Search(2, no_repeat_ngram_size=1),
    Search(1, no_repeat_ngram_size=2),
]


def build(kind: str) -> tf.keras.Model:
    """A captioner with weights large enough that captions differ and some end."""
    set_precision("float64" if kind == "float64" else "float32")
    try:
        model = build_captioner(replace(SHAPE, tie_embeddings=kind == "tied"))
    finally:
        set_precision("float32")
    random = np.random.default_rng(SEED)
    for variable in sorted(model.trainable_variables, key=lambda variable: variable.path):
        variable.assign(random.normal(size=variable.shape))
    return model


@pytest.fixture(scope="module", params=["float32", "float64", "tied"])
def captioner(request):
    return build(request.param)


@pytest.fixture(scope="module")
def plain():
    return build("float32")


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(2).normal(size=(12, SHAPE.feature_size)).astype("float32")


def weights_of(captioner) -> dict[str, list[np.ndarray]]:
    return {layer.name: [np.asarray(part, "float64") for part in layer.get_weights()] for layer in captioner.layers}


def log_probabilities(weights: dict, seen, prefix: list[int]) -> np.ndarray:
    """Of each next word, in float64: the captioner's formulas with numpy alone, from the start token on."""
    kernel, recurrent, bias = weights["lstm"]
    hidden = cell = np.zeros(SHAPE.lstm_units)
    for token in [START, *prefix]:
        gates = weights["embedding"][0][token] @ kernel + hidden @ recurrent + bias
        enter, forget, new, leave = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
        hidden = sigmoid(leave) * np.tanh(cell)
    merged = hidden + np.maximum(dense(weights["photo_dense"], seen), 0)
    both = np.maximum(dense(weights["decoder"], merged), 0)
    logits = dense(weights["logits"], both) if "logits" in weights else weights["embedding"][0] @ both
    return logits - np.logaddexp.reduce(logits)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def dense(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    return x @ weights[0] + weights[1]


def allowed(prefix: list[int], search: Search) -> list[int]:
    size = search.no_repeat_ngram_size
    known = {tuple(prefix[i : i + size]) for i in range(len(prefix) - size + 1)} if size else set()
    words = set(range(SHAPE.vocabulary_size)) - {PADDING, START, UNKNOWN}
    return sorted(word for word in words if (*prefix[max(0, len(prefix) - size + 1) :], word) not in known)


def plain_search(weights: dict, seen, search: Search) -> tuple[list[int], float]:
    """The best hypothesis of one photo and its score: no state, no early end, one hypothesis after the other."""
    beam = [(0.0, 0.0, [])]  # (score, sum of log-probabilities, words and end)
    for _ in range(MAX_LENGTH):
        candidates = []
        for place, (score, total, words) in enumerate(beam):
            if words[-1:] == [END]:
                candidates.append((-score, place, 0, total, words))
                continue
            row = log_probabilities(weights, seen, words)
            for word in allowed(words, search):
                longer = [*words, word]
                scored = (total + row[word]) / len(longer) ** search.length_penalty
                candidates.append((-scored, place, word, total + row[word], longer))
        best = sorted(candidates)[: search.beam_width]
        beam = [(-negative, total, words) for negative, _, _, total, words in best]
    score, _, words = beam[0]
    return [word for word in words if word != END], score


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_equals_a_plain_beam_search(captioner, photo, search):
    captions, scores = Decoder(captioner, MAX_LENGTH, search).scored_captions(photo)
    expected = [plain_search(weights_of(captioner), seen, search) for seen in photo]
    assert captions == [caption for caption, _ in expected]
    tolerance = {"float32": 1e-5, "float64": 1e-11}[captioner.compute_dtype]
    assert scores == pytest.approx([score for _, score in expected], rel=tolerance, abs=tolerance)
    assert len({tuple(caption) for caption in captions}) > 2


def test_a_wider_beam_finds_better_captions(plain, photo):
    """Without length normalisation a score is a caption's log-probability, so the searches can be compared by it."""
    narrow, wide = (Decoder(plain, MAX_LENGTH, Search(width, 0.0)).scored_captions(photo)[1] for width in (1, 17))
    assert wide.sum() > narrow.sum() + 1


def test_a_beam_of_one_is_greedy_at_any_length_penalty(plain, photo):
    greedy = Decoder(plain, MAX_LENGTH).captions(photo)
    for exponent in (0.0, 2.0):
        assert Decoder(plain, MAX_LENGTH, Search(1, exponent)).captions(photo) == greedy
    by_hand, weights = [], weights_of(plain)
    for seen in photo:
        words = []
        while len(words) < MAX_LENGTH and words[-1:] != [END]:
            row = log_probabilities(weights, seen, words)
            words.append(max(allowed(words, Search()), key=lambda word: row[word]))
        by_hand.append([word for word in words if word != END])
    assert greedy == by_hand
    assert len({len(caption) for caption in greedy}) > 1, "some captions end and others are cut"


def test_a_higher_length_penalty_makes_longer_captions(plain, photo):
    short, long = (
        sum(map(len, Decoder(plain, MAX_LENGTH, Search(5, exponent)).captions(photo))) for exponent in (0.0, 2.0)
    )
    assert short < long


def test_the_batch_changes_nothing(plain, photo):
    decoder = Decoder(plain, MAX_LENGTH, Search(3))
    together = decoder.captions(photo)
    assert [decoder.captions(photo[n : n + 1])[0] for n in range(len(photo))] == together
    assert decoder.captions(photo[:5]) + decoder.captions(photo[5:]) == together
    assert decoder.captions(photo[::-1]) == together[::-1]
    assert decoder.captions(photo[:0]) == []


def test_ties_go_to_the_lower_token_id(photo):
    """Where every word is equally likely, the first word that may be generated (the end token) wins."""
    model = build_captioner(SHAPE)
    for variable in model.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    for search in (search for search in SEARCHES if search.length_penalty < 1):  # above it, longer is better
        assert Decoder(model, MAX_LENGTH, search).captions(photo) == [[]] * len(photo)
    bias = np.zeros(SHAPE.vocabulary_size, "float32")
    bias[END] = -50
    model.get_layer("logits").bias.assign(bias)
    for width in (1, 3):
        words = Decoder(model, MAX_LENGTH, Search(width, 0.0)).captions(photo)
        assert words == [[UNKNOWN + 1] * MAX_LENGTH] * len(photo)
    blocked = Decoder(model, MAX_LENGTH, Search(1, 0.7, 3)).captions(photo[:1])[0]
    assert blocked[:5] == [4, 4, 4, 5, 4]
    trigrams = [tuple(blocked[i : i + 3]) for i in range(MAX_LENGTH - 2)]
    assert len(set(trigrams)) == len(trigrams)


@pytest.mark.parametrize("search", SEARCHES[::2], ids=str)
def test_reserved_tokens_are_never_generated(plain, photo, search):
    bias = plain.get_layer("logits").bias
    before, likely = np.array(bias), np.zeros(SHAPE.vocabulary_size)
    likely[[PADDING, START, UNKNOWN]], likely[END] = 100, -100  # without words, a caption would lose least
    bias.assign(before + likely)
    generated = {token for caption in Decoder(plain, MAX_LENGTH, search).captions(photo) for token in caption}
    bias.assign(before)
    assert generated
    assert not generated & {PADDING, START, END, UNKNOWN}


def test_a_captioner_in_training_is_read_when_called(plain, photo):
    decoder, before = Decoder(plain, MAX_LENGTH), plain.get_weights()
    captions = decoder.captions(photo)
    plain.set_weights([weight * 0.5 for weight in before])
    found, expected = decoder.captions(photo), Decoder(plain, MAX_LENGTH).captions(photo)
    plain.set_weights(before)
    assert found == expected != captions
    assert decoder.captions(photo) == captions


def test_a_saved_model_captions_rows(photo, tmp_path):
    captioner = build("float32")
    captioner.save(tmp_path / "model.keras")
    words = tuple(f"w{number}" for number in range(SHAPE.vocabulary_size))
    ids = [f"{number}.jpg" for number in range(len(photo))]
    photo = photo.astype("float16")
    columns = {"image_id": pa.array(ids), "feature": cells(photo), "feature_shape": shapes(photo)}
    batch = pa.RecordBatch.from_pydict(columns)
    model = SimpleNamespace(value=(tmp_path / "model.keras").read_bytes())
    (rows,) = caption_photos(model, "merge", Vocabulary(words, MAX_LENGTH), Search(2), 2, iter([batch, batch[:0]]))
    captions = Decoder(captioner, MAX_LENGTH, Search(2)).captions(photo)
    expected = [" ".join(f"w{token}" for token in caption) for caption in captions]
    assert rows.to_pydict() == {"image_id": ids, "hypothesis": expected}


def test_a_model_with_code_in_it_is_refused(tmp_path):
    import keras

    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs)).save(tmp_path / "evil.keras")
    with pytest.raises(Exception, match=r"safe_mode|unsafe"):
        load_captioner((tmp_path / "evil.keras").read_bytes())
