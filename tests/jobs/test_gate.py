"""The gate, on runs whose captions are written by hand instead of by a model."""

from collections.abc import Callable

import numpy as np
import pytest
from conftest import Workspace
from pyspark.sql import functions as F

from conf.schema import Gate
from jobs.driver.runs.champion import champion, champions, promote
from jobs.driver.runs.registry import read_json, record_run, run_folder, write_json
from jobs.driver.scoring.baselines import with_counts
from jobs.driver.scoring.comparison import Comparison
from jobs.driver.scoring.evaluation import evaluation_identity
from jobs.gate import against_champion
from udfs import files
from udfs.errors import InputError
from udfs.vision.features import STORED

COLOURS, SHAPES = ("red", "green", "blue", "grey", "black"), ("ball", "box", "cone", "ring", "star", "cup")
PHOTOS = 30


def truth(number: int) -> str:
    return f"a {COLOURS[number % 5]} {SHAPES[number % 6]} lies on the {'grass' if number % 2 else 'sand'}"


@pytest.fixture
def judged(spark, tmp_path) -> Workspace:
    """A workspace with captions of 30 photos, ready for runs. The captions of the nearest training photos are wrong."""
    workspace = Workspace(tmp_path, ["storage.format=parquet", "bootstrap.resamples=300"])
    names = [(f"{number}.jpg", truth(number)) for number in range(PHOTOS)]
    rows = spark.createDataFrame(names, "image_id string, text string").withColumn("caption_no", F.lit(0))
    both = rows.withColumn("split", F.lit("test")).union(rows.limit(6).withColumn("split", F.lit("train")))
    workspace.table("captions").replace(both, {})
    store_features(workspace, lambda number: (number + 1) % 6)
    record_run(workspace.job("train"), "first", "", {}, {}, "trained")
    return workspace


def store_features(workspace: Workspace, nearest: Callable[[int], int]) -> None:
    """Writes features by which photo `number` is nearest to the training photo `nearest(number)`, one of the first six.

    The first six are equally far from each other, and no photo is its own neighbour.
    """
    spark = workspace.table("captions").spark
    rows = []
    for number in range(PHOTOS):
        feature = np.full(6, 0.01, STORED)
        feature[number if number < 6 else nearest(number)] = 1.0
        rows.append((f"{number}.jpg", "drawn", feature.tobytes(), [6]))
    workspace.table("features").replace(
        spark.createDataFrame(rows, "image_id string, extractor string, feature binary, feature_shape array<int>"), {}
    )


def add_run(workspace: Workspace, run: str, right: int, wrong: str = "a grey dog runs far away") -> None:
    """A trained run that captions so many photos rightly and the others in one wrong way."""
    spark, settings = workspace.table("captions").spark, workspace.job("test").settings
    folder = run_folder(settings, run).uri
    rows = [(f"{n}.jpg", truth(n) if n < right else wrong, [truth(n)]) for n in range(PHOTOS)]
    counted = with_counts(spark.createDataFrame(rows, "image_id string, hypothesis string, references array<string>"))
    predictions = counted.withColumns({"run_id": F.lit(run), "split": F.lit("test")})
    workspace.table("predictions").replace(predictions, {}, where={"run_id": run})
    versions = {name: workspace.table(name).version() for name in ("captions", "features")}
    made_from = evaluation_identity(settings, versions, "drawn")
    files.write_bytes(f"{folder}/model.keras", b"")
    write_json(f"{folder}/run.json", {"identity": {"run": run}, "extractor": "drawn"})
    scored = {"version": 1, "photos": PHOTOS, "scored": PHOTOS, "quarantined": 0, "metrics": {}}
    write_json(f"{folder}/evaluate-test.json", {"made_from": made_from, **scored})


def decisions(workspace: Workspace) -> list[tuple[str, str, str]]:
    rows = workspace.table("runs").read().where("decision != ''").orderBy("updated").collect()
    assert all(row.reasons for row in rows)
    return [(row.run_id, row.decision, row.status) for row in rows]


def test_from_no_champion_to_a_better_one_and_back(judged):
    workspace = judged
    for run, right in (("blind", 0), ("first", 18), ("same", 18), ("worse", 12), ("better", 28)):
        add_run(workspace, run, right)
    blind = workspace.run("gate", "run.id=blind")
    assert blind.metrics["promoted"] is False
    assert champion(workspace.job("test").settings) is None
    assert workspace.run("gate", "run.id=first").metrics["promoted"] is True
    for run in ("same", "worse"):
        refused = workspace.run("gate", f"run.id={run}").metrics
        assert (refused["promoted"], refused["champion"]) == (False, "first"), run
        assert "not enough" in refused["reasons"][0]
    narrow = workspace.run("gate", "run.id=better", "gate.margin=0.9").metrics
    assert (narrow["promoted"], narrow["champion"]) == (False, "first")
    promoted = workspace.run("gate", "run.id=better")
    assert (promoted.metrics["promoted"], promoted.metrics["champion"]) == (True, "better")
    assert promoted.metrics["bleu4_difference"]["low"] > 0

    again = workspace.run("gate", "run.id=better")
    assert (again.written, again.unchanged, again.version) == (0, 1, promoted.version)
    back = workspace.run("promote", "run=first")
    assert (back.written, back.metrics["previous"]) == (1, "better")
    assert workspace.run("promote", "run=first").unchanged == 1
    assert workspace.run("evaluate", "run.id=champion").run == "first"
    assert [each.run for each in champions(workspace.job("test").settings)] == ["first", "better", "first"]
    assert decisions(workspace) == [
        ("blind", "against baselines", "refused"), ("first", "champion-00000001", "promoted"),
        ("same", "against champion-00000001", "refused"), ("worse", "against champion-00000001", "refused"),
        ("better", "against champion-00000001", "refused"), ("better", "champion-00000002", "promoted"),
        ("first", "champion-00000003", "promoted"),
    ]  # fmt: skip
    line = read_json(f"file://{workspace.folder}/runs/better/gate.json")
    assert line["metrics"]["promoted"] is True, "the scheduler reads the decision here"


def test_a_first_champion_must_beat_the_caption_of_the_nearest_photo(judged):
    store_features(judged, lambda number: number % 6)  # with the right shape and ground, and mostly a wrong colour
    for run, right in (("first", 18), ("better", 28)):
        add_run(judged, run, right)
    refused = judged.run("gate", "run.id=first").metrics
    assert refused["promoted"] is False
    assert ["not enough" in reason for reason in refused["reasons"]] == [False, False, True]
    assert "against the caption of the nearest training photo" in refused["reasons"][2]
    difference = refused["bleu4_above_nearest_photo"]
    assert difference["low"] < 0 < difference["value"], "better, but not in enough bootstrap samples"
    page = (judged.folder / "runs" / "first" / "report" / "index.html").read_text()
    assert "Not promoted; there is no champion yet." in page
    assert refused["reasons"][2] in page
    promoted = judged.run("gate", "run.id=better").metrics
    assert (promoted["promoted"], promoted["champion"]) == (True, "better")
    assert promoted["bleu4_above_nearest_photo"]["low"] > 0


def test_a_judgement_on_an_old_champion_is_refused(judged):
    workspace = judged
    for run, right in (("first", 18), ("second", 27), ("third", 30)):
        add_run(workspace, run, right)
    workspace.run("gate", "run.id=first")
    seen = champion(workspace.job("test").settings)
    workspace.run("gate", "run.id=second")
    with pytest.raises(RuntimeError, match="judged against first, but the champion is second"):
        promote(workspace.job("gate", "run.id=third"), "third", seen, ["better"], {})
    assert champion(workspace.job("test").settings).run == "second"


def test_compare_reports_both_runs_and_their_difference(judged):
    workspace = judged
    add_run(workspace, "a", 10)
    add_run(workspace, "b", 20)
    found = workspace.run("compare", "runs=a,b").metrics
    assert (found["photos"], found["left_out"]) == (PHOTOS, 0)
    assert found["runs"]["a"]["bleu1"]["value"] < found["runs"]["b"]["bleu1"]["value"]
    for name, figure in found["difference"].items():
        assert figure["low"] <= figure["value"] <= figure["high"], name
        both = found["runs"]["b"][name]["value"] - found["runs"]["a"][name]["value"]
        assert figure["value"] == pytest.approx(both, abs=2e-6), name
    assert found["difference"]["bleu4"]["share_above_0"] > 0.99
    figures = found["runs"]["a"]
    assert figures["distinct_share"]["value"] == pytest.approx(11 / 30, abs=1e-6), (
        "10 right ones, and one for the others"
    )
    assert figures["mean_length"]["value"] == pytest.approx((10 * 7 + 20 * 6) / 30, abs=1e-6)
    penalty = np.exp(1 - 7 * 30 / (10 * 7 + 20 * 6))
    assert figures["brevity_penalty"]["value"] == pytest.approx(penalty, abs=1e-6)
    for name in ("cider_d", "rouge_l", "bleu4_without_penalty"):
        assert found["difference"][name]["low"] > 0, name
    assert workspace.run("compare", "runs=b,a").metrics["difference"]["bleu4"]["share_above_0"] < 0.01


def test_without_names_the_latest_run_is_compared_with_the_champion(judged):
    for run, right in (("old", 10), ("new", 20)):
        add_run(judged, run, right)
    judged.run("promote", "run=old")
    found = judged.run("compare").metrics
    assert list(found["runs"]) == ["old", "new"]
    assert found["difference"]["bleu4"]["value"] > 0
    assert judged.run("gate").run == "new"
    assert judged.run("promote", "run=old").run == "old"
    assert judged.run("promote", "run=latest").run == "new"


def test_runs_that_were_decoded_otherwise_are_not_compared(judged):
    for run in ("a", "b"):
        add_run(judged, run, 10)
    path = f"file://{judged.folder}/runs/b/evaluate-test.json"
    scored = read_json(path)
    scored["made_from"]["decoding"]["beam_width"] = 1
    write_json(path, scored)
    with pytest.raises(
        InputError, match=r"captions of a with .*beam_width=3 .* and b with .*beam_width=1 .*evaluate\.py"
    ):
        judged.run("compare", "runs=a,b")


@pytest.mark.parametrize(
    ("job", "override", "words"),
    [
        ("compare", "runs=first", r"compare\.runs: found first, expected two"),
        ("compare", "runs=first,absent", r"run\.id: no trained model"),
        ("compare", "runs=champion,first", "has been promoted yet"),
        ("promote", "run=absent", r"run\.id: no trained model"),
        ("promote", "run.id=auto", "expected the id of the run to promote"),
        ("evaluate", "run.id=champion", "has been promoted yet"),
        ("gate", "run.id=_champions", "begins with neither"),
        ("gate", "run.id=champion", "expected the run to judge against it"),
        ("gate", "run.id=it's", r"run\.id: found \"it's\", expected letters"),
        ("compare", "runs=first,it's", r"compare\.runs: found \"it's\", expected letters"),
    ],
)
def test_what_cannot_be_judged_is_refused(judged, job, override, words):
    add_run(judged, "first", 5)
    with pytest.raises(InputError, match=words):
        judged.run(job, override)


@pytest.mark.parametrize(
    ("figure", "values", "passed"),
    [
        ("bleu1", (0.50, 0.495), True),
        ("bleu1", (0.50, 0.48), False),
        ("distinct_share", (0.92, 0.58), True),  # of a merge model and of self-critical attention on Flickr8k
        ("distinct_share", (0.92, 0.45), False),
        ("distinct_share", (0.80, 0.90), True),
        ("gain_over_shuffled", (0.05, 0.03), False),
    ],
)
def test_a_guard_that_falls_keeps_the_champion(figure, values, passed):
    found, reasons = against_champion(comparison_with(figure, values), "old", "new", Gate())
    assert found is passed
    assert len(reasons) == (1 if passed else 2)


def test_more_bleu_with_less_cider_is_a_warning_and_no_refusal():
    found, reasons = against_champion(comparison_with("cider_d", (0.458, 0.438)), "old", "new", Gate())
    assert found is True
    assert reasons[1].startswith("warning: BLEU-4 went from 0.2000 to 0.3000, but CIDEr-D went from 0.4580 to 0.4380")
    assert len(against_champion(comparison_with("cider_d", (0.458, 0.5)), "old", "new", Gate())[1]) == 1


def comparison_with(figure: str, values: tuple[float, float]) -> Comparison:
    """A comparison in which only BLEU-4, from 0.2 to 0.3, and one more figure change."""
    steady = {"bleu1": 0.5, "distinct_share": 0.8, "gain_over_shuffled": 0.05, "cider_d": 0.4, "mean_length": 9.0}
    figures = {}
    for place, (run, bleu4) in enumerate((("old", 0.2), ("new", 0.3))):
        numbers = {**steady, "bleu4": bleu4, figure: values[place]}
        figures[run] = {name: np.full(11, value) for name, value in numbers.items()}
    return Comparison(9, 0, figures)
