"""The YAML files of the experiments: every training in them has overrides that the jobs accept."""

from __future__ import annotations

import html
import json
from itertools import product

import pytest
from conftest import ROOT

import conf
from lab.cluster.settings import load_settings
from lab.experiments.ablations import SCORES, draw
from lab.experiments.choices import ChoicesSettings
from lab.experiments.study.settings import read_study
from lab.experiments.trials import TrialsSettings
from udfs.errors import InputError


@pytest.mark.parametrize(("kind", "name"), [(ChoicesSettings, "choices"), (TrialsSettings, "frugal")])
def test_every_variant_of_a_training_can_be_configured(kind, name):
    trainings = conf.load_as(kind, f"lab/experiments/{name}.yaml").trainings
    assert trainings.variants
    for variant in trainings.variants:
        conf.load(trainings.config, [*trainings.overrides(variant), "evaluate.split=dev"])


@pytest.mark.parametrize("name", ["study", "wire"])
def test_every_training_of_a_study_can_be_configured(name):
    study = read_study(f"lab/experiments/{name}.yaml")
    load_settings(None, study.laboratory)
    for engine, nodes, mbit in product(study.engines.values(), study.nodes, study.bandwidths_mbit):
        conf.load(study.config, [*study.always, *engine.overrides(nodes, mbit)])
    conf.load(study.config, [*study.always, *study.faults.always])
    assert study.faults.engine in study.engines
    assert study.faults.regime in study.regimes


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("reference=nobody", ["reference", "nobody", "every-step"]),
        ("seeds=[-1]", ["seeds", "[-1]", "at least 0"]),
        ("seeds=[]", ["seeds", "found none"]),
        ("seed=[0]", ["seed", "seeds"]),
        ("trainings.comon=[]", ["trainings.comon", "trainings.common"]),
    ],
)
def test_wrong_trials_are_refused(override, words):
    with pytest.raises(InputError) as error:
        conf.load_as(TrialsSettings, "lab/experiments/frugal.yaml", [override])
    assert all(word in str(error.value) for word in words), error.value


def test_choices_need_variants():
    with pytest.raises(InputError, match=r"trainings\.variants: found none"):
        conf.load_as(ChoicesSettings, None, ["seed=1"])


def test_the_figure_of_the_ablations_shows_the_shipped_scores(tmp_path):
    variants = json.loads((ROOT / "docs/ablations.json").read_text())["variants"]
    draw(variants, tmp_path / "drawn.svg")
    for figure in (tmp_path / "drawn.svg", ROOT / "docs/ablations.svg"):
        shown = html.unescape(figure.read_text())
        assert all(variant["name"] in shown for variant in variants)
        assert all(f"{variant[score]:.3f}" in shown for variant in variants for score in SCORES)
