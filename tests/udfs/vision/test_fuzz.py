"""Damaged pictures are decoded or refused in words. `make fuzz` tries 10,000 of them, the tests 500 with fixed seeds."""

import os
import re
from collections import Counter
from contextlib import closing

import pytest
from photo_mutations import mutated, originals

from udfs.vision.decode import PhotoLimits, PhotoRefused, decode_photo
from udfs.vision.isolated_decoder import IsolatedDecoder

COUNT, FIRST = int(os.environ.get("FUZZ_MUTATIONS", "500")), int(os.environ.get("FUZZ_SEED", "0"))
SIZE = (32, 24)


@pytest.mark.parametrize("name", originals())
def test_the_originals_are_pictures(name):
    assert decode_photo(originals()[name], SIZE).shape == (*SIZE, 3)


def outcome_of(decoder: IsolatedDecoder, content: bytes) -> tuple[str, str]:
    try:
        pixels = decoder.decode(content, SIZE).pixels
        return "decoded", f"{pixels.dtype} {pixels.shape}"
    except PhotoRefused as refused:
        return refused.reason, refused.details


@pytest.mark.parametrize("strict", [False, True])
def test_every_damaged_picture_is_decoded_or_refused_in_words(strict):
    reasons, died = Counter(), []
    with closing(IsolatedDecoder(PhotoLimits(max_pixels=10_000_000, strict=strict), cpu_seconds=10)) as decoder:
        for seed in range(FIRST + strict, FIRST + COUNT, 2):  # one half each
            name, content = mutated(seed)
            reason, details = outcome_of(decoder, content)
            reasons[reason] += 1
            assert re.fullmatch(r"[a-z][a-z0-9_]+", reason)
            assert re.fullmatch(r"[^\n]{10,500}", details), (seed, name, details)
            if reason == "decoded":
                assert details == "uint8 (32, 24, 3)"
            if reason == "decoder_died":
                died.append(f"seed {seed} ({name}): {details}")
    print(f"\n{dict(reasons.most_common())}", *died, sep="\n")
    assert reasons.total() == COUNT // 2
    assert reasons["decoded"] > COUNT // 20, "the damage should often leave a picture"
    assert len(reasons) > 4
