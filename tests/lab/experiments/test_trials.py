"""The corpus with more validation photos, and intervals over photos and seeds."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from lab.experiments.resplit import LISTS
from lab.experiments.trials import mean_over_drawn_seeds


def resplit(corpus, folder, validation: int) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lab.experiments.resplit", str(corpus), str(folder), f"--validation={validation}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_training_photos_are_drawn_for_validation(tmp_path):
    corpus = tmp_path / "corpus"
    (corpus / "images").mkdir(parents=True)
    (corpus / "captions.token.txt").write_text("1.jpg#0\ta dog\n")
    before = {"train": [f"{n}.jpg" for n in range(20)], "dev": ["a.jpg", "b.jpg"]}
    for split, names in before.items():
        (corpus / LISTS[split]).write_text("\n".join(names))
    assert resplit(corpus, tmp_path / "wide", 7).returncode == 0
    after = {split: (tmp_path / "wide" / name).read_text().split() for split, name in LISTS.items()}
    assert len(after["dev"]) == 7
    assert after["dev"][:2] == before["dev"]
    assert sorted(after["train"] + after["dev"]) == sorted(before["train"] + before["dev"])
    assert (tmp_path / "wide" / "captions.token.txt").read_text() == "1.jpg#0\ta dog\n"
    again = resplit(corpus, tmp_path / "again", 7)
    assert (tmp_path / "again" / LISTS["dev"]).read_text().split() == after["dev"], again.stderr
    refused = resplit(corpus, tmp_path / "none", 22)
    assert refused.returncode == 2
    assert "found 22, expected 2 to 21" in refused.stderr


def test_seeds_are_drawn_as_the_photos_are():
    """Equal seeds add nothing to the interval. Different ones widen it by the variance of the mean of the drawn seeds."""
    photos = np.random.default_rng(0).normal(0.0, 0.001, 2000)
    alike = np.tile(np.concatenate([[0.0], photos]), (4, 1))
    assert mean_over_drawn_seeds(alike, 0) == pytest.approx(photos)
    apart = alike + np.array([[-0.03], [-0.01], [0.01], [0.03]])
    spread = np.sqrt(0.001**2 + np.var([-0.03, -0.01, 0.01, 0.03]) / 4)
    assert mean_over_drawn_seeds(apart, 0).std() == pytest.approx(spread, rel=0.05)
