"""What the comparison of two populations says, in plain words with its numbers, and which training data it asks for."""

from __future__ import annotations


def gaps(found: dict) -> list[str]:
    """Under-represented groups, each with the data that would mend it."""
    return [*_missing_words(found), *_weak_objects(found), *_far_photos(found), *_unseen_words(found)]


def verdict(found: dict) -> list[str]:
    """The conclusions, one sentence or two each."""
    lines = [_population(found), _neighbours(found), _captions(found), _leakage(found), _reach(found)]
    return [line for line in lines if line]


def weak_objects(groups: list[dict]) -> list[dict]:
    """Objects whose interval of BLEU-4 lies below that of all photos, the weakest first."""
    if not groups:
        return []
    value = whole(groups)["bleu4"]
    return sorted((g for g in groups if g["kind"] == "object" and g["high"] < value), key=lambda g: g["bleu4"])


def whole(groups: list[dict]) -> dict:
    return next(group for group in groups if group["kind"] == "all")


def farthest(groups: list[dict]) -> dict | None:
    bins = [group for group in groups if group["kind"] == "distance"]
    return bins[-1] if len(bins) > 1 else None


def _interval(group: dict) -> str:
    return f"{group['bleu4']:.3f} ({group['low']:.3f} to {group['high']:.3f})"


def _population(found: dict) -> str:
    frechet = found["distances"]["frechet"]
    if frechet is None:
        return "There are too few photos for a Fréchet distance."
    own, control = frechet["evaluation"], frechet["control"]
    numbers = (
        f"Fréchet distance {own['mean']:.3g} ({own['low']:.3g} to {own['high']:.3g} in {frechet['draws']} draws), between random "
        f"halves of the training photos {control['mean']:.3g} ({control['low']:.3g} to {control['high']:.3g}), with "
        f"{frechet['photos_a_side']} photos a side"
    )
    excess = own["mean"] / control["mean"] - 1 if control["mean"] else 0.0
    if own["low"] > control["high"] and excess > 0.1:
        return f"To the network, the evaluated photos are another population than the training photos: {numbers}."
    if own["mean"] > control["high"]:
        return f"The evaluated photos differ from the training photos a little, more than by chance: {numbers}."
    return (
        f"The evaluated photos come from the same population as the training photos, as far as this shows: {numbers}."
    )


def _neighbours(found: dict) -> str:
    near = found["distances"]["neighbours"]
    share = near["share_farther_than_95_percent_of_control"]
    if share is None:
        return ""
    return (
        f"{share:.1%} of the evaluated photos are farther from their nearest training photo than 95% of held-out training photos "
        f"are from theirs (5% would be no difference); the medians are {near['evaluation']['0.5']:.3g} and "
        f"{near['control']['0.5']:.3g}."
    )


def _captions(found: dict) -> str:
    captions = found.get("captions")
    if not captions:
        return "The evaluated photos have no captions, so distances are all that can be said."
    own, training, words = captions["evaluation"], captions["training"], found["words"]
    return (
        f"Captions have {own['mean_length']:.1f} words (training: {training['mean_length']:.1f}); "
        f"{own['out_of_vocabulary']:.1%} of the words are not in the captioner's vocabulary (training: "
        f"{training['out_of_vocabulary']:.1%}). {words['beyond_chance']} of {words['tested']:,} words are over- or "
        "under-represented beyond chance."
    )


def _leakage(found: dict) -> str:
    count, groups = len(found["look_alikes"]), found.get("groups", [])
    if not count:
        return "No evaluated photo looks like a training photo to the perceptual hash: no leakage found."
    text = f"{count} evaluated {'photo looks' if count == 1 else 'photos look'} like a training photo (leakage)"
    clean = next((group for group in groups if group["kind"] == "clean"), None)
    if not groups or clean is None:
        return text + "."
    return f"{text}: BLEU-4 is {_interval(whole(groups))} with and {_interval(clean)} without."


def _reach(found: dict) -> str:
    groups = found.get("groups", [])
    if not (far := farthest(groups)):
        return ""
    near = next(group for group in groups if group["kind"] == "distance")
    numbers = f"BLEU-4 is {_interval(near)} for the photos nearest to the training photos and {_interval(far)} for the farthest"
    if far["high"] < near["low"]:
        return f"The scores do not carry over to photos unlike the training photos: {numbers}."
    if far["bleu4"] < near["bleu4"]:
        return f"The farther from the training photos, the lower the score seems, but the intervals overlap: {numbers}."
    return f"The score does not fall with the distance to the training photos: {numbers}."


def _missing_words(found: dict) -> list[str]:
    return [
        f"“{row['word']}” is in the captions of {row['evaluation_share']:.1%} of the evaluated photos and of "
        f"{row['training_share']:.1%} of the training photos (z {row['z']:.1f}): add about {row['photos_to_add']:,} training "
        "photos with it"
        for row in found.get("missing_words", [])
    ]


def _weak_objects(found: dict) -> list[str]:
    have = found.get("training_objects", {})
    return [
        f"photos of “{group['name']}” are captioned worse than the rest: BLEU-4 {_interval(group)} in {group['photos']} photos, "
        f"with {have.get(group['name'], 0):,} training photos that name it: add photos of it"
        for group in weak_objects(found.get("groups", []))
    ]


def _far_photos(found: dict) -> list[str]:
    groups = found.get("groups", [])
    far = farthest(groups)
    if far is None or far["high"] >= whole(groups)["bleu4"]:
        return []
    named = ", ".join(f"“{row['word']}”" for row in found["far_words"] if row["beyond_chance"])
    return [
        f"photos farther than {far['from']:.3g} from any training photo are captioned worse: BLEU-4 {_interval(far)} in "
        f"{far['photos']} photos: add photos like them" + (f"; their captions more often say {named}" if named else "")
    ]


def _unseen_words(found: dict) -> list[str]:
    unseen = [row for row in found.get("unseen_words", {}).get("most_frequent", []) if row["photos"] > 1]
    words = ", ".join(f"“{row['word']}” ({row['photos']})" for row in unseen[:8])
    text = f"no training caption has these words, with the evaluated photos that do: {words}: add photos of them"
    return [text] if unseen else []
