import collections
import re

import numpy as np
import pytest

from udfs.vision.scene_pictures import TEXTURES, draw_scene
from udfs.vision.scenes import COLOURS, GROUNDS, SHAPES, compose_scene, scene_captions, split_of

INDICES = range(400)


def scenes(seed=0):
    return [compose_scene(seed, index) for index in INDICES]


def pair(scene):
    return scene.group.colour, scene.group.shape


def test_a_scene_is_the_same_every_time():
    first, second = compose_scene(3, 17), compose_scene(3, 17)
    assert first == second
    assert scene_captions(first) == scene_captions(second)
    assert np.array_equal(draw_scene(first, 64), draw_scene(second, 64))


def test_seed_and_index_change_the_scene():
    def looks(seed, index):
        return np.asarray(draw_scene(compose_scene(seed, index), 64)).tobytes()

    assert len({looks(0, 0), looks(0, 1), looks(1, 0)}) == 3


@pytest.mark.parametrize("side", [32, 100, 224])
def test_the_picture_has_the_side_asked_for(side):
    for index in range(6):
        picture = draw_scene(compose_scene(0, index), side)
        assert picture.size == (side, side)
        assert picture.mode == "RGB"


def test_every_ten_scenes_are_split_eight_to_one_to_one():
    for start in range(0, 100, 10):
        counts = collections.Counter(split_of(index) for index in range(start, start + 10))
        assert counts == {"train": 8, "dev": 1, "test": 1}
    assert len({index % 10 for index in range(100) if split_of(index) == "test"}) > 1


def test_training_shows_every_pair_and_every_ground():
    training = [scene for scene in scenes() if split_of(scene.index) == "train"]
    assert len(set(map(pair, training))) == len(COLOURS) * len(SHAPES)
    assert {scene.ground for scene in training} == set(GROUNDS)


def test_captions_are_five_different_plain_sentences():
    for scene in scenes():
        captions = scene_captions(scene)
        assert len(set(captions)) == 5
        assert all(re.fullmatch(r"[A-Z][a-z]*( [a-z]+){4,15}( \.)?", caption) for caption in captions)


def test_captions_say_what_the_scene_shows():
    for scene in scenes():
        for caption in scene_captions(scene):
            group = scene.group
            assert re.search(rf"\b{group.colour} {group.shape}(e?s)?\b", caption)
            assert (group.count > 1) == bool(re.search(rf"{group.colour} {group.shape}e?s\b", caption))


def test_an_object_is_painted_where_its_group_is():
    for scene in scenes()[:60]:
        pixels = np.asarray(draw_scene(scene, 96), dtype=int)
        group = scene.group
        if scene.ground == "snow" and group.colour == "white":
            continue
        _, columns = np.nonzero(abs(pixels - COLOURS[group.colour]).max(axis=2) < 30)
        assert {"left": columns, "right": 95 - columns}[group.place].mean() < 48


def test_every_ground_has_a_texture():
    assert set(TEXTURES) == set(GROUNDS)
