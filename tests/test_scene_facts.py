"""The scorer of scenes' facts: right captions pass, and one wrong word is found."""

import re

import pytest
from scene_facts import SHAPE_OF, Facts, facts_of, score_facts

from udfs.vision.scenes import COLOURS, PLACES, Group, Scene, compose_scene, scene_captions

INDICES = range(500)
RIGHT, UNSAID = Facts(True, True, True), Facts(True, True, None)
RING = Scene(0, 0, "sand", Group(1, "large", "blue", "ring", "left"))
CROSSES = Scene(0, 0, "snow", Group(2, "", "red", "cross", "right"))
OPPOSITE = {"left": "right", "right": "left"}


def scenes() -> list[tuple[Scene, list[str]]]:
    composed = [compose_scene(0, index) for index in INDICES]
    return [(scene, scene_captions(scene)) for scene in composed]


def replaced(caption: str, forms, other) -> str:
    """The caption with the first word of `forms` in it replaced by `other(word)`."""
    return re.sub(
        rf"\b({'|'.join(sorted(forms, key=len, reverse=True))})\b", lambda word: other(word[0]), caption, count=1
    )


def test_the_samples_own_captions_are_all_right():
    captions = [(f"scene_{index:06}.jpg", text) for index, (_, texts) in enumerate(scenes()) for text in texts]
    scores = score_facts(captions)
    assert scores.wrong == []
    assert (scores.captions, scores.colour, scores.shape, scores.side, scores.right) == (2500, 1, 1, 1, 1)
    assert 0.8 < scores.side_named < 0.95, "one template of six has no side"
    normalised = [(name, text.lower().removesuffix(" .")) for name, text in captions]
    assert score_facts(normalised) == scores


def test_captions_of_another_seeds_scenes_are_mostly_wrong():
    scores = score_facts([(f"scene_{index:06}.jpg", texts[0]) for index, (_, texts) in enumerate(scenes())], seed=1)
    assert scores.right < 0.1
    assert 0.1 < scores.colour < 0.25
    assert 0.1 < scores.shape < 0.25
    assert len(scores.wrong) == round((1 - scores.right) * scores.captions)


def test_one_wrong_word_is_found_and_blamed_on_its_fact():
    colours = dict(zip(COLOURS, [*list(COLOURS)[1:], "red"], strict=True))
    shapes = {form: "ring" if shape != "ring" else "star" for form, shape in SHAPE_OF.items()}
    for scene, texts in scenes():
        for text in texts:
            text = text.lower()
            wrong_colour = facts_of(scene, replaced(text, colours, colours.get))
            assert (wrong_colour.colour, wrong_colour.shape, wrong_colour.right) == (False, True, False), text
            wrong_shape = facts_of(scene, replaced(text, shapes, shapes.get))
            assert (wrong_shape.colour, wrong_shape.shape, wrong_shape.right) == (True, False, False), text
            if set(text.split()) & PLACES.keys():
                wrong_side = facts_of(scene, replaced(text, PLACES, OPPOSITE.get))
                assert wrong_side == Facts(True, True, False), text


@pytest.mark.parametrize(
    ("scene", "caption", "facts"),
    [
        (RING, "A large blue ring on sand at left .", RIGHT),
        (RING, "blue ring", UNSAID),
        (RING, "a purple ring on sand at left", Facts(False, True, True)),
        (RING, "a blue ring and a red star at left", Facts(False, False, True)),
        (RING, "a blue blue ring at left", Facts(False, True, True)),
        (RING, "a blue ring at left right", Facts(True, True, False)),
        (RING, "a ring at left", Facts(False, True, True)),
        (RING, "", Facts(False, False, None)),
        (CROSSES, "two red crosses on snow at right", RIGHT),
        (CROSSES, "at left two red crosses on snow", Facts(True, True, False)),
        (CROSSES, "two white stars on snow", Facts(False, False, None)),
    ],
)
def test_what_counts_as_right(scene, caption, facts):
    assert facts_of(scene, caption) == facts


def test_photos_of_another_corpus_and_no_captions_are_refused():
    with pytest.raises(ValueError, match=r"1000268201_693b08cb0e\.jpg is no photo of the drawn sample"):
        score_facts([("1000268201_693b08cb0e.jpg", "a dog")])
    with pytest.raises(ValueError, match="no captions"):
        score_facts([])
