import collections
import re

import numpy as np
import pytest

from udfs.vision.scene_pictures import TEXTURES, draw_scene
from udfs.vision.scenes import COLOURS, GROUNDS, HELD_OUT, SHAPES, compose_scene, scene_captions, split_of

INDICES = range(400)


def scenes(seed=0):
    return [compose_scene(seed, index, split_of(index)) for index in INDICES]


def pairs(scene):
    return {(group.colour, group.shape) for group in scene.groups}


def test_a_scene_is_the_same_every_time():
    first, second = compose_scene(3, 17, "train"), compose_scene(3, 17, "train")
    assert first == second
    assert scene_captions(first) == scene_captions(second)
    assert np.array_equal(draw_scene(first, 64), draw_scene(second, 64))


def test_seed_and_index_change_the_scene():
    def looks(seed, index):
        return np.asarray(draw_scene(compose_scene(seed, index, "train"), 64)).tobytes()

    assert len({looks(0, 0), looks(0, 1), looks(1, 0)}) == 3


@pytest.mark.parametrize("side", [32, 100, 224])
def test_the_picture_has_the_side_asked_for(side):
    for index in range(6):
        picture = draw_scene(compose_scene(0, index, "train"), side)
        assert picture.size == (side, side)
        assert picture.mode == "RGB"


def test_every_ten_scenes_are_split_eight_to_one_to_one():
    for start in range(0, 100, 10):
        counts = collections.Counter(split_of(index) for index in range(start, start + 10))
        assert counts == {"train": 8, "dev": 1, "test": 1}
    assert len({index % 10 for index in range(100) if split_of(index) == "test"}) > 1


def test_held_out_pairs_are_never_in_training():
    held_out = set(HELD_OUT)
    for seed in range(5):
        assert not any(pairs(scene) & held_out for scene in scenes(seed) if split_of(scene.index) == "train")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_third_of_the_other_splits_shows_held_out_pairs(split):
    shown = [bool(pairs(scene) & set(HELD_OUT)) for scene in scenes() if split_of(scene.index) == split]
    assert 0.25 < np.mean(shown) < 0.4


def test_training_shows_every_other_pair_and_every_ground():
    training = [scene for scene in scenes() if split_of(scene.index) == "train"]
    assert len(set().union(*map(pairs, training))) == len(COLOURS) * len(SHAPES) - len(HELD_OUT)
    assert {scene.ground for scene in training} == set(GROUNDS)


def test_captions_are_five_different_plain_sentences():
    for scene in scenes():
        captions = scene_captions(scene)
        assert len(set(captions)) == 5
        assert all(re.fullmatch(r"[A-Z][a-z]*( [a-z]+){4,15}( \.)?", caption) for caption in captions)


def test_captions_say_what_the_scene_shows():
    for scene in scenes():
        for caption in scene_captions(scene):
            for group in scene.groups:
                assert re.search(rf"\b{group.colour} {group.shape}(e?s)?\b", caption)
                assert (group.count > 1) == bool(re.search(rf"{group.colour} {group.shape}e?s\b", caption))


def test_the_relation_holds_from_both_ends():
    scene = next(scene for scene in scenes() if len(scene.groups) == 2 and scene.groups[0].place == "left")
    first, last = (f"{group.colour} {group.shape}" for group in scene.groups)
    for caption in scene_captions(scene):
        assert ("left of" in caption) == (caption.index(first) < caption.index(last))
        assert ("right of" in caption) == (caption.index(first) > caption.index(last))


def test_an_object_is_painted_where_its_group_is():
    for scene in scenes()[:60]:
        pixels = np.asarray(draw_scene(scene, 96), dtype=int)
        for group in scene.groups:
            rows, columns = np.nonzero(abs(pixels - COLOURS[group.colour]).max(axis=2) < 30)
            if scene.ground == "snow" and group.colour == "white":
                continue
            middle = {"left": columns, "right": 95 - columns, "above": rows, "below": 95 - rows}[group.place]
            assert middle.mean() < 48


def test_every_ground_has_a_texture():
    assert set(TEXTURES) == set(GROUNDS)
