"""The sentences that a comparison of two populations ends with."""

import pytest

from jobs.driver.validity.conclusions import draw_conclusions, missing_data

CONTROL = {"mean": 1.0, "low": 0.9, "high": 1.1}


def group(kind: str, name: str, bleu4: float, **bounds) -> dict:
    return {
        "kind": kind,
        "name": name,
        "photos": 50,
        "bleu4": bleu4,
        "low": bleu4 - 0.02,
        "high": bleu4 + 0.02,
        **bounds,
    }


def report(**changes) -> dict:
    """A comparison that finds no difference, with changes."""
    quantiles = {"evaluation": {"0.5": 0.2}, "control": {"0.5": 0.2}}
    frechet = {"evaluation": CONTROL, "control": CONTROL, "draws": 10, "photos_a_side": 100}
    side = {"mean_length": 9.0, "out_of_vocabulary": 0.01}
    return {
        "distances": {
            "neighbours": {**quantiles, "share_farther_than_95_percent_of_control": 0.05},
            "frechet": frechet,
        },
        "look_alikes": [],
        "captions": {"training": side, "evaluation": side},
        "words": {"tested": 100, "beyond_chance": 0},
        "groups": [group("all", "all photos", 0.25), group("clean", "without near-duplicates", 0.24)],
        **changes,
    }


def distance_bins(near: float, far: float) -> list[dict]:
    bins = [
        group("distance", "1", near, **{"from": 0.1, "to": 0.2}),
        group("distance", "2", far, **{"from": 0.2, "to": 0.4}),
    ]
    return [*report()["groups"], *bins]


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        (CONTROL, "cannot be told from"),
        ({"mean": 1.15, "low": 1.05, "high": 1.2}, "differ slightly"),
        ({"mean": 1.5, "low": 1.4, "high": 1.6}, "come from a different population"),
    ],
)
def test_the_population_is_judged_by_the_control(evaluation, words):
    changed = report()
    changed["distances"]["frechet"]["evaluation"] = evaluation
    (line,) = [line for line in draw_conclusions(changed) if "Fréchet" in line]
    assert words in line
    assert f"{evaluation['mean']:.3g} ({evaluation['low']:.3g} to {evaluation['high']:.3g} in 10 draws" in line


@pytest.mark.parametrize(
    ("near", "far", "words"),
    [
        (0.30, 0.20, "does not generalise"),
        (0.26, 0.24, "intervals overlap"),
        (0.24, 0.26, "do not fall with the distance"),
    ],
)
def test_generalisation_is_judged_by_the_intervals(near, far, words):
    lines = draw_conclusions(report(groups=distance_bins(near, far)))
    assert words in lines[-1]
    assert f"{near:.3f} ({near - 0.02:.3f} to {near + 0.02:.3f})" in lines[-1]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "no leakage was found"),
        (
            1,
            "1 evaluated photo is a near-duplicate of a training photo (leakage): BLEU-4 is 0.250 (0.230 to 0.270) with",
        ),
        (2, "2 evaluated photos are near-duplicates of training photos (leakage): BLEU-4 is 0.250"),
    ],
)
def test_near_duplicates_are_leakage(count, words):
    assert any(words in line for line in draw_conclusions(report(look_alikes=[{}] * count)))


def test_photos_alone_are_compared_without_captions():
    changed = report(captions=None)
    del changed["groups"], changed["words"]
    changed["distances"] = {"neighbours": {"share_farther_than_95_percent_of_control": None}, "frechet": None}
    assert [line.split(".")[0] for line in draw_conclusions(changed)] == [
        "There are too few photos to compute a Fréchet distance",
        "The evaluated photos have no captions, so only the photos themselves are compared",
        "No evaluated photo is a near-duplicate of a training photo by its perceptual hash: no leakage was found",
    ]
    assert missing_data(changed) == []


def test_missing_data_names_words_objects_and_photos():
    word = {"word": "snow", "evaluation_share": 0.2, "training_share": 0.1, "z": 3.0, "photos_to_add": 1250}
    groups = [*distance_bins(0.30, 0.15), group("object", "dog", 0.10), group("object", "boat", 0.24)]
    lines = missing_data(
        report(
            groups=groups,
            missing_words=[word],
            training_objects={"dog": 40},
            far_words=[{"word": "ski", "beyond_chance": True}, {"word": "red", "beyond_chance": False}],
            unseen_words={"most_frequent": [{"word": "zeppelin", "photos": 2}, {"word": "yak", "photos": 1}]},
        )
    )
    words, objects, far, unseen = lines  # "boat" is within the interval
    assert "“snow”" in words
    assert "add about 1,250 training photos" in words
    assert "“dog”" in objects
    assert "40 training photos" in objects
    assert "distance of 0.2 or more" in far
    assert "“ski”" in far
    assert "red" not in far
    assert "“zeppelin” (2)" in unseen
    assert "yak" not in unseen
