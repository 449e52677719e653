import json

import pytest

from jobs.driver.runs.trained_run import TrainedRun
from udfs.captioner.subwords import Subwords, train_subwords
from udfs.captioner.text import RESERVED
from udfs.run_folder import RunFolder


@pytest.fixture
def run(tmp_path):
    def make(tokens: list[str], tokenizer: str) -> TrainedRun:
        content = {"fingerprint": "0", "max_length": 9, "tokens": [*RESERVED, *tokens], "tokenizer": tokenizer}
        (tmp_path / "vocabulary.json").write_text(json.dumps(content))
        return TrainedRun("a", RunFolder(str(tmp_path)))

    return make


def test_a_word_of_the_vocabulary_is_known(run):
    assert run(["a", "dog"], "words").known_words(["a", "cat", "<unk>"]) == {"a"}


def test_a_word_that_consists_of_subwords_of_the_vocabulary_is_known(run, tmp_path):
    model = train_subwords(iter(["一只狗在草地上", "一只猫在草地上"] * 20), 40)
    (tmp_path / "subwords.model").write_bytes(model)
    tokens = {token for subwords in Subwords(model).split(["草地", "狗"]).to_pylist() for token in subwords}
    assert run(sorted(tokens), "subwords").known_words(["草地", "狗", "猫", "龙"]) == {"草地", "狗"}
