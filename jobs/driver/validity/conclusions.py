"""Sentences for the report of external validity: what the measurements show, and which training data is missing."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
"""The comparison of two populations, as external/<population>.json in the run's folder has it."""


def draw_conclusions(report: Report) -> list[str]:
    """Returns the conclusions with their numbers, one or two sentences each."""
    lines = [_population(report), _neighbours(report), _captions(report), _leakage(report), _generalisation(report)]
    return [line for line in lines if line]


def missing_data(report: Report) -> list[str]:
    """Returns the groups that the training data under-represents, each with the data to add."""
    return [*_missing_words(report), *_weak_objects(report), *_far_photos(report), *_unseen_words(report)]


def weak_objects(groups: list[dict]) -> list[dict]:
    """Returns the objects whose interval of BLEU-4 lies below the BLEU-4 of all photos, the lowest score first."""
    if not groups:
        return []
    bleu4 = all_photos(groups)["bleu4"]
    weak = (group for group in groups if group["kind"] == "object" and group["high"] < bleu4)
    return sorted(weak, key=lambda group: group["bleu4"])


def all_photos(groups: list[dict]) -> dict:
    """Returns the group of all photos."""
    return next(group for group in groups if group["kind"] == "all")


def farthest_group(groups: list[dict]) -> dict | None:
    """Returns the group of photos farthest from the training photos, or None if all photos are in one group."""
    bins = [group for group in groups if group["kind"] == "distance"]
    return bins[-1] if len(bins) > 1 else None


def _with_interval(group: dict) -> str:
    return f"{group['bleu4']:.3f} ({group['low']:.3f} to {group['high']:.3f})"


def _population(report: Report) -> str:
    frechet = report["distances"]["frechet"]
    if frechet is None:
        return "There are too few photos to compute a Fréchet distance."
    evaluation, control = frechet["evaluation"], frechet["control"]
    numbers = (
        f"the Fréchet distance between evaluated and training photos is {evaluation['mean']:.3g} ({evaluation['low']:.3g} to "
        f"{evaluation['high']:.3g} in {frechet['draws']} draws of {frechet['photos_a_side']} photos per side); between random "
        f"halves of the training photos it is {control['mean']:.3g} ({control['low']:.3g} to {control['high']:.3g})"
    )
    excess = evaluation["mean"] / control["mean"] - 1 if control["mean"] else 0.0
    if evaluation["low"] > control["high"] and excess > 0.1:
        return f"By their features, the evaluated photos come from a different population than the training photos: {numbers}."
    if evaluation["mean"] > control["high"]:
        return (
            f"The evaluated photos differ slightly from the training photos, by more than chance explains: {numbers}."
        )
    return f"By their features, the evaluated photos cannot be told from the training photos: {numbers}."


def _neighbours(report: Report) -> str:
    neighbours = report["distances"]["neighbours"]
    share = neighbours["share_farther_than_95_percent_of_control"]
    if share is None:
        return ""
    return (
        f"{share:.1%} of the evaluated photos are farther from their nearest training photo than 95% of held-out training photos "
        f"are from theirs (without any difference it would be 5%). The median distances are "
        f"{neighbours['evaluation']['0.5']:.3g} and {neighbours['control']['0.5']:.3g}."
    )


def _captions(report: Report) -> str:
    captions = report.get("captions")
    if not captions:
        return "The evaluated photos have no captions, so only the photos themselves are compared."
    evaluation, training, words = captions["evaluation"], captions["training"], report["words"]
    return (
        f"The captions have {evaluation['mean_length']:.1f} words on average (training: {training['mean_length']:.1f}); "
        f"{evaluation['out_of_vocabulary']:.1%} of their words are not in the captioner's vocabulary (training: "
        f"{training['out_of_vocabulary']:.1%}). {words['beyond_chance']} of {words['tested']:,} words are significantly more or "
        "less frequent than in training."
    )


def _leakage(report: Report) -> str:
    count, groups = len(report["look_alikes"]), report.get("groups", [])
    if not count:
        return (
            "No evaluated photo is a near-duplicate of a training photo by its perceptual hash: no leakage was found."
        )
    subject = (
        "photo is a near-duplicate of a training photo"
        if count == 1
        else "photos are near-duplicates of training photos"
    )
    text = f"{count} evaluated {subject}"
    clean = next((group for group in groups if group["kind"] == "clean"), None)
    if not groups or clean is None:
        return f"{text} (leakage)."
    return f"{text} (leakage): BLEU-4 is {_with_interval(all_photos(groups))} with and {_with_interval(clean)} without them."


def _generalisation(report: Report) -> str:
    groups = report.get("groups", [])
    if not (far := farthest_group(groups)):
        return ""
    near = next(group for group in groups if group["kind"] == "distance")
    numbers = (
        f"BLEU-4 is {_with_interval(near)} for the photos nearest to the training photos and {_with_interval(far)} for the "
        "farthest"
    )
    if far["high"] < near["low"]:
        return f"The captioner does not generalise to photos unlike the training photos: {numbers}."
    if far["bleu4"] < near["bleu4"]:
        return f"Scores are lower far from the training photos, but the intervals overlap: {numbers}."
    return f"Scores do not fall with the distance from the training photos: {numbers}."


def _missing_words(report: Report) -> list[str]:
    return [
        f"“{row['word']}” is in the captions of {row['evaluation_share']:.1%} of the evaluated photos and of "
        f"{row['training_share']:.1%} of the training photos (z = {row['z']:.1f}): add about {row['photos_to_add']:,} training "
        "photos with it."
        for row in report.get("missing_words", [])
    ]


def _weak_objects(report: Report) -> list[str]:
    in_training = report.get("training_objects", {})
    return [
        f"Photos of “{group['name']}” score lower than the others: BLEU-4 is {_with_interval(group)} on {group['photos']} "
        f"photos, and {in_training.get(group['name'], 0):,} training photos have captions that name it. Add photos of it."
        for group in weak_objects(report.get("groups", []))
    ]


def _far_photos(report: Report) -> list[str]:
    groups = report.get("groups", [])
    far = farthest_group(groups)
    if far is None or far["high"] >= all_photos(groups)["bleu4"]:
        return []
    words = ", ".join(f"“{row['word']}”" for row in report["far_words"] if row["beyond_chance"])
    return [
        f"Photos at a distance of {far['from']:.3g} or more from every training photo score lower: BLEU-4 is "
        f"{_with_interval(far)} on {far['photos']} photos. Add similar photos."
        + (f" These words are more frequent in their captions: {words}." if words else "")
    ]


def _unseen_words(report: Report) -> list[str]:
    unseen = [row for row in report.get("unseen_words", {}).get("most_frequent", []) if row["photos"] > 1]
    words = ", ".join(f"“{row['word']}” ({row['photos']})" for row in unseen[:8])
    return (
        [f"No training caption contains these words (evaluated photos with them): {words}. Add such photos."]
        if unseen
        else []
    )
