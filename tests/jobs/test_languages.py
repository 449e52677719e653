"""Corpora in other languages than English, through the jobs."""

import json
import logging
import random
import shutil
from pathlib import Path

import pytest
from conftest import JOBS, QUICK_TRAINING, SMALL_NETWORK, Workspace

from udfs.captioner.subwords import Subwords
from udfs.captioner.text import RESERVED, UNKNOWN
from udfs.captioner.vocabulary import Vocabulary
from udfs.captioner.words import plain_text
from udfs.captioning import caption_photo
from udfs.errors import InputError

CHINESE = (
    ["一只{}色的{}在{}上{}。", "{}色的{}，正在{}上{}！"],
    "红 黄 蓝 绿",
    "小狗 猫 马 男人",
    "草地 沙滩 街道",
    "奔跑 跳跃 睡觉",
)
THAI = (["{1}สี{0}{3}บน{2}", "บน{2}มี{1}สี{0}กำลัง{3}"], "แดง เหลือง เขียว", "หมา แมว ม้า", "หญ้า หาด ถนน", "วิ่ง กระโดด นอน")
HINDI = (
    ["एक {} {} {} पर {} है।", "{} {}, {} पर {} हुआ"], "लाल पीला हरा", "कुत्ता घोड़ा आदमी", "घास मैदान सड़क", "दौड़ता कूदता सोता",
)  # fmt: skip


def translate(corpus: Path, language: tuple) -> None:
    """Replaces the captions of a drawn corpus by sentences of a language."""
    sentences, *choices = language
    path, draw = corpus / "sample.token.txt", random.Random(0)
    keys = [line.split("\t")[0] for line in path.read_text().splitlines()]
    rows = [
        f"{key}\t{draw.choice(sentences).format(*(draw.choice(choice.split()) for choice in choices))}\n"
        for key in keys
    ]
    path.write_text("".join(rows))


def vocabulary_of(workspace: Workspace) -> dict[str, int]:
    return {row.token: row.token_id for row in workspace.table("vocabulary").read().collect()}


@pytest.fixture
def parquet(workspace):
    workspace.overrides.append("storage.format=parquet")
    return workspace


def test_hindi_keeps_its_vowel_signs(parquet, caplog):
    translate(parquet.corpus, HINDI)
    parquet.run("tokenize_captions")
    assert {"कुत्ता", "घोड़ा", "दौड़ता", "हुआ", "है"} <= vocabulary_of(parquet).keys()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING and "text." in record.message]


def test_chinese_words_are_characters_and_subwords_are_recommended(parquet, caplog):
    translate(parquet.corpus, CHINESE)
    parquet.run("tokenize_captions")
    assert {"红", "狗", "跑"} <= vocabulary_of(parquet).keys()
    assert "100% of the words of the training captions are single Chinese" in caplog.text
    assert "text.tokenizer=subwords" in caplog.text


def test_words_that_hardly_repeat_are_reported_with_numbers(parquet, caplog):
    translate(parquet.corpus, THAI)
    parquet.run("tokenize_captions", "text.min_count=3")
    (warning,) = [record.message for record in caplog.records if "hardly repeat" in record.message]
    for part in ("different words occur", "times each on average", "fewer than 3 times", "text.tokenizer=subwords"):
        assert part in warning
    caplog.clear()
    parquet.run("tokenize_captions", "text.min_count=3")
    assert warning in caplog.text  # although there was nothing to do


def test_an_empty_vocabulary_is_refused(parquet):
    translate(parquet.corpus, THAI)
    with pytest.raises(InputError, match=r"text\.min_count: found 100, .*would be empty; lower .*tokenizer=subwords"):
        parquet.run("tokenize_captions", "text.min_count=100")
    assert parquet.table("vocabulary").version() is None


def test_subwords_and_letters_only_exclude_each_other(parquet):
    with pytest.raises(InputError, match=r"text\.letters_only"):
        parquet.run("tokenize_captions", "text.tokenizer=subwords", "text.letters_only=true")


@pytest.fixture(scope="module")
def chinese(spark, drawn, tmp_path_factory):
    """Every job on a Chinese corpus, with subwords."""
    folder = tmp_path_factory.mktemp("chinese")
    shutil.copytree(drawn, folder / "corpus")
    translate(folder / "corpus", CHINESE)
    overrides = [
        *SMALL_NETWORK, "extractor.pooling=avg", "examples.shards=2", "storage.format=parquet", *QUICK_TRAINING,
        "text.tokenizer=subwords", "text.max_subwords=60", "text.min_count=2", "train.epochs=6", "train.batch_size=8",
        "optimizer.learning_rate=0.02",
    ]  # fmt: skip
    workspace = Workspace(folder, overrides)
    return workspace, {name: workspace.run(name) for name in JOBS}


def test_subwords_are_versioned_and_used_alike_by_every_job(chinese):
    workspace, outcomes = chinese
    table = workspace.table("vocabulary")
    rows = table.read().orderBy("token_id").collect()
    tokens = [row.token for row in rows]
    assert tokens[: len(RESERVED)] == list(RESERVED)
    assert any(len(token) > 2 for token in tokens[len(RESERVED) :])
    (model,) = [bytes(row.model) for row in rows if row.model]

    run = workspace.folder / "runs" / outcomes["train"].run
    content = json.loads((run / "vocabulary.json").read_text())
    assert (content["tokenizer"], content["tokens"]) == ("subwords", tokens)
    assert (
        content["fingerprint"]
        == table.provenance()["vocabulary"]
        == outcomes["tokenize_captions"].metrics["vocabulary"]
    )
    assert (run / "subwords.model").read_bytes() == model

    vocabulary, subwords = Vocabulary.from_json(content), Subwords(model)
    captions = {(row.image_id, row.caption_no): row.text for row in workspace.table("captions").read().collect()}
    for row in workspace.table("tokens").read().collect():
        text = captions[row.image_id, row.caption_no]
        assert vocabulary.text(row.token_ids[1:-1]) == plain_text(text) or UNKNOWN in row.token_ids
        assert [tokens[token] for token in row.token_ids[1:-1] if token != UNKNOWN] == [
            token for token in subwords.split([text]).to_pylist()[0] if token in tokens
        ]


def test_chinese_captions_are_text_and_are_scored_in_characters(chinese):
    workspace, outcomes = chinese
    metrics = outcomes["evaluate"].metrics
    assert metrics["tokenization"] == {"units": "characters", "characters": 1.0}
    assert metrics["bleu1"] > 0.2, "it would be near 0 if sentences were words"
    run = workspace.folder / "runs" / outcomes["train"].run
    for row in workspace.table("predictions").read().limit(3).collect():
        assert all(len(unit) == 1 for text in (row.hypothesis, *row.references) for unit in text.split())
        photo = next((workspace.corpus / "images").glob(row.image_id))
        caption = caption_photo(str(photo), str(run))
        assert caption
        assert set(caption) <= set("".join(CHINESE[0]) + "".join(CHINESE[1:]) + " ")
