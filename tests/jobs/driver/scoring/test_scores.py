"""Scores and baselines of captions that are written by hand, against nltk and plain numpy."""

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu
from pyspark.sql import functions as F

from conf.schema import Bootstrap
from jobs.driver.scoring import nearest
from jobs.driver.scoring.scores import score_captions
from udfs.scoring.cider import cider_d, count_documents
from udfs.vision.features import STORED, unit_rows

COLOURS, THINGS = ("red", "green", "blue"), ("ball", "box", "cone", "ring")
PHOTOS, SIZE = 12, 5


def truths(number: int) -> list[str]:
    colour, thing = COLOURS[number % 3], THINGS[number % 4]
    return [f"a {colour} {thing} lies on the sand", f"the {thing} is {colour}", f"there is a {colour} {thing} here"]


@pytest.fixture(scope="module")
def tables(spark):
    """(scored, captions, features) of 12 evaluated and 12 training photos; one evaluated photo has a single caption."""
    numbers = np.random.default_rng(1)
    rows, scored, features = [], [], []
    for number in range(PHOTOS):
        for split in ("test", "train"):
            name = f"{split}{number:02}.jpg"
            features.append((name, numbers.normal(size=SIZE).astype(STORED).tobytes(), [SIZE]))
            texts = truths(number)[: 1 if split == "test" and number == 0 else 3]
            rows += [(name, place, text.capitalize() + " .", split) for place, text in enumerate(texts)]
            if split == "test":
                scored.append((name, truths(number)[0] if number % 2 else "a red dog lies on the box", texts))
    captions = spark.createDataFrame(rows, "image_id string, caption_no int, text string, split string")
    return (
        spark.createDataFrame(scored, "image_id string, hypothesis string, references array<string>"),
        captions,
        spark.createDataFrame(features, "image_id string, feature binary, feature_shape array<int>"),
    )


def bleu4(pairs) -> float:
    return corpus_bleu([[r.split() for r in references] for _, references in pairs], [h.split() for h, _ in pairs])


def test_scores_equal_those_of_plain_programs(tables, monkeypatch):
    monkeypatch.setattr(nearest, "QUERY_BYTES", 3 * 4 * SIZE)  # of three photos, so that there are several blocks
    metrics = score_captions(*tables, Bootstrap(resamples=200))
    scored, captions, features = ([tuple(row) for row in table.collect()] for table in tables)
    assert metrics["bleu4"] == pytest.approx(bleu4([(own, references) for _, own, references in scored]), abs=1e-9)
    bounded = [(f"startseq {own} endseq", [f"startseq {r} endseq" for r in all_]) for _, own, all_ in scored]
    assert metrics["legacy"]["bleu4"] == pytest.approx(bleu4(bounded), abs=1e-9)
    assert metrics["legacy"]["bleu4"] > metrics["bleu4"]

    (counts,) = count_documents(iter([tables[0].toPandas()]))
    documents = dict(zip(counts.ngram, counts.photos, strict=True))
    each = [cider_d(own.split(), [r.split() for r in all_], documents, PHOTOS) for _, own, all_ in scored]
    assert metrics["cider_d"] == pytest.approx(np.mean(each), abs=1e-5)
    for name, interval in metrics["intervals"].items():
        assert interval["low"] < metrics[name] < interval["high"], name

    found = metrics["baselines"]
    assert list(found) == ["most_frequent_caption", "shuffled_photos", "nearest_photo", "human"]
    turns = [(own, all_[:n] + all_[n + 1 :]) for _, _, all_ in scored for n, own in enumerate(all_) if len(all_) > 1]
    assert found["human"]["bleu4"] == pytest.approx(bleu4(turns), abs=1e-9)
    vectors = {name: unit_rows([np.frombuffer(cell, STORED)])[0] for name, cell, _ in features}
    first = {
        name: text.lower().removesuffix(" .") for name, place, text, split in captions if (place, split) == (0, "train")
    }
    closest = {name: max(first, key=lambda other: vectors[other] @ vectors[name]) for name, _, _ in scored}
    pairs = [(first[closest[name]], references) for name, _, references in scored]
    assert found["nearest_photo"]["bleu4"] == pytest.approx(bleu4(pairs), abs=1e-9)
    assert len(set(closest.values())) > 3


def test_without_second_captions_there_is_no_human(tables):
    scored, captions, features = tables
    alone = scored.withColumn("references", F.slice("references", 1, 1))
    metrics = score_captions(alone, captions, features, Bootstrap(resamples=100))
    assert list(metrics["baselines"]) == ["most_frequent_caption", "shuffled_photos", "nearest_photo"]
