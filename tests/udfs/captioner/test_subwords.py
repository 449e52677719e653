import random
from types import SimpleNamespace

import pyarrow as pa
import pytest

from udfs.captioner.subwords import Subwords, split_captions, train_subwords
from udfs.captioner.text import RESERVED
from udfs.captioner.validation import units_of
from udfs.captioner.vocabulary import Vocabulary, joined_subwords
from udfs.captioner.words import plain_text
from udfs.errors import InputError


def chinese(count: int) -> list[str]:
    draw = random.Random(0).choice
    animals, places, actions = ["狗", "猫", "小马", "男人"], ["草地", "沙滩", "街道", "雪地"], ["奔跑", "跳跃", "睡觉"]
    return [
        f"一只{draw('红黄蓝绿')}色的{draw(animals)}在{draw(places)}上{draw(actions)}，很快乐。" for _ in range(count)
    ]


@pytest.fixture(scope="module")
def model() -> bytes:
    return train_subwords(iter(chinese(300)), 120)


def test_subwords_of_a_caption_are_its_text(model):
    texts = [*chinese(20), "", "，"]
    split = Subwords(model).split(texts).to_pylist()
    assert [joined_subwords(subwords) for subwords in split] == [plain_text(text) for text in texts]
    assert sum(map(len, split)) < 0.6 * sum(map(len, texts))
    assert split[-2:] == [[], []]


def test_the_same_captions_give_the_same_model(model):
    assert train_subwords(iter(chinese(300)), 120) == model


def test_a_small_corpus_has_fewer_subwords():
    assert Subwords(train_subwords(iter(["一只狗"]), 4000)).split(["一只狗"]).to_pylist()


def test_an_unknown_character_is_the_unknown_subword(model):
    assert "<unk>" in Subwords(model).split(["一只龙"]).to_pylist()[0]


@pytest.mark.parametrize(
    ("texts", "most", "words"),
    [(chinese(50), 10, r"max_subwords: found 10, .* different characters.* set it to"), (["。"], 100, "no letters")],
)
def test_captions_that_no_model_can_be_trained_on(texts, most, words):
    with pytest.raises(InputError, match=words):
        train_subwords(iter(texts), most)


def test_a_task_replaces_words(model):
    texts = chinese(3)
    batch = pa.RecordBatch.from_pydict({"image_id": ["a", "b", "c"], "text": texts, "words": [["x"], ["y"], ["z"]]})
    (rows,) = split_captions(SimpleNamespace(value=model), iter([batch]))
    assert rows.column("words").to_pylist() == Subwords(model).split(texts).to_pylist()
    assert rows.column("text").to_pylist() == texts


def test_token_ids_become_text():
    subwords = Vocabulary((*RESERVED, "▁一只", "狗", "▁跑"), 10, "subwords")
    assert subwords.text([4, 5, 6]) == "一只狗 跑"
    assert Vocabulary((*RESERVED, "a", "dog"), 10).text([4, 5]) == "a dog"
    assert Vocabulary((*RESERVED, "一", "狗"), 10).text([4, 5]) == "一狗"
    of_earlier_version = Vocabulary.from_json({"fingerprint": "0", "max_length": 5, "tokens": [*RESERVED, "a"]})
    assert of_earlier_version == Vocabulary((*RESERVED, "a"), 5, "words")


def test_validation_counts_the_words_that_subwords_make_up():
    subwords = (*RESERVED, "▁一只", "狗", "▁do", "g")
    assert units_of([4, 5, 6, 7], subwords) == ["一", "只", "狗", "dog"]
    assert units_of([4, 3, 6, 3, 6, 7], subwords) == ["一", "只", "\ufffd", "do\ufffd", "dog"]
    assert units_of([4, 3], ()) == [4, 3]
