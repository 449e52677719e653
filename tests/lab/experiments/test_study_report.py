"""The study's report, from numbers that a known cost model made."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.experiments.study.cells import grouped_by_training
from lab.experiments.study.cost import EXCHANGES, Cost, Work, cost_terms, fit, ring
from lab.experiments.study.faults import FAULTS, notable_messages
from lab.experiments.study.figures import FIGURES, draw_all
from lab.experiments.study.page import claims, write_page
from lab.experiments.study.predictions import least_links, predict
from lab.experiments.study.report import Measurements, epochs_to, relative_paces, run_of_cell, write_report
from lab.experiments.study.results import Results
from lab.experiments.study.settings import FAULT_NAMES, Engine, Regime, Study, read_study
from udfs.errors import InputError

MODEL_BYTES = 8e6


def small_study(folder) -> Study:
    engines = {
        "thesis": Engine(always=["train.batch_size=32"]),
        "ours": Engine(
            always=["train.batch_size=32"], nodes={4: ["communication.local_sgd_steps=100"]}, paths=[1, 4]
        ),
        "larger batch": Engine(always=["train.batch_size=64"], variation=True),
    }  # fmt: skip
    return Study(
        engines=engines, regimes={"equal": Regime(cpus_each=0.4), "divided": Regime(cpus_together=1.6)}, nodes=[1, 4],
        seeds=[0, 1], bandwidths_mbit=[0, 1000, 100, 10], folder=str(folder / "study"), docs=str(folder),
    )  # fmt: skip


def cell(study: Study, engine: str, regime: str, nodes: int, mbit: float, cost: Cost) -> dict:
    steps = 100 if engine == "ours" and nodes > 1 else 1
    cpus = study.regimes[regime].cpus(nodes)
    work = Work(64 if engine == "larger batch" else 32, MODEL_BYTES, steps)
    sent = ring(nodes, MODEL_BYTES)[0] / steps / 1e6
    return {
        "engine": engine, "regime": regime, "nodes": nodes, "bandwidth_mbit": mbit, "cpus": cpus, "repetition": 0,
        "seconds_a_step": cost.seconds(work, nodes, cpus, mbit), "steps_an_epoch": 900, "start_seconds": 30.0,
        "sent_mb_a_step": {f"node{n}": sent for n in range(nodes)}, "cpu_cores": cpus, "memory_mb": 800.0, "load": 1.0,
        "links": {"head": {}, **{f"node{n}": {"measured_up_mbit": mbit, "measured_down_mbit": mbit} for n in range(nodes)}},
    }  # fmt: skip


def test_the_report_recovers_the_model_that_made_the_numbers(tmp_path):
    study, cost = small_study(tmp_path), Cost(0.002, 0.01, 1.05, 0.0005)
    cells = [
        cell(study, engine, regime, nodes, float(mbit), cost)
        for engine in study.engines
        for (regime, nodes), bandwidths in study.cells(engine).items()
        for mbit in bandwidths
    ]
    paths = {("thesis", 1): [0.10, 0.15, 0.16], ("ours", 1): [0.10, 0.15, 0.16], ("ours", 4): [0.10, 0.12, 0.1555]}
    trajectories = [
        {
            "engine": engine,
            "nodes": nodes,
            "bandwidth_mbit": 0.0,
            "seed": seed,
            "bleu4": [*bleu[:2], bleu[2] - 0.004 * seed],
            "val_loss": [3, 3, 3],
        }
        for (engine, nodes), bleu in paths.items()
        for seed in study.seeds
    ]
    contention = [
        {"engine": engine, "repetition": number, "nodes": 4, "cpus": 0.4, "steps": 9, "load": 4.0, "seconds_a_step": pace}
        for engine, slower in (("thesis", 1.2), ("ours", 1.1))
        for number, pace in enumerate([0.185 * slower, 0.185 * slower * 1.02])
    ]  # fmt: skip
    report = write_report(study, Measurements(trajectories, cells, contention, []))
    assert report == json.loads((tmp_path / "scaling.json").read_text())
    assert report["target_bleu4"] == pytest.approx(0.153)
    runs = {(run["engine"], run["regime"], run["nodes"], run["bandwidth_mbit"]): run for run in report["runs"]}
    assert len(runs) == 2 * 2 * (1 + 4) + 2
    thesis, ours = (runs[engine, "equal", 4, 10.0] for engine in ("thesis", "ours"))
    assert thesis["epochs_to_bleu"] == ours["epochs_to_bleu"] == 3
    assert ours["epochs_to_bleu_by_seed"] == [3, None]  # the mean of the seeds reaches it, one of them does not
    a_step = 0.002 * 8 / 0.4 + 0.01 / 0.4 + 1.05 * 1.5 * MODEL_BYTES * 8 / 10e6 + 0.0005 * 6
    assert thesis["seconds_to_bleu"] == pytest.approx(3 * 900 * a_step, rel=1e-3)
    alone = runs["thesis", "equal", 1, 0.0]["seconds_to_bleu"]
    assert thesis["speedup"] == pytest.approx(alone / thesis["seconds_to_bleu"], abs=1e-3)
    assert thesis["communication_share"] > 0.98 > 0.7 > ours["communication_share"] > 0
    assert runs["ours", "divided", 4, 10.0]["speedup"] < 1 < ours["speedup"]
    contended = {(line["engine"], line["bandwidth_mbit"]): line for line in report["contention"]["speedups"]}
    assert contended["ours", 10.0]["alone"] == ours["speedup"]
    assert contended["ours", 10.0]["contended"] == pytest.approx(ours["speedup"] * 1.1 * 1.01, rel=1e-3)
    (parts,) = [
        line for line in report["parts_of_a_step"] if (line["engine"], line["bandwidth_mbit"]) == ("thesis", 10.0)
    ]
    assert parts["share"] == pytest.approx(0.185 / 4, abs=1e-4)
    assert parts["shared_machine"] == pytest.approx(0.185 / 4 * (1.2 * 1.01 - 1), abs=1e-4)
    names = ("share", "shared_machine", "unused", "besides")
    assert sum(parts[name] for name in names) == pytest.approx(parts["seconds_per_step"], abs=2e-4)
    for engine in study.main_engines:
        check_least_links(least_links(study, engine, report["runs"], cost), cost)
    for fitted in report["cost_model"].values():
        assert fitted["largest_absolute_error"] < 1e-3

    sentences = claims(report)
    assert [line["holds"] for line in sentences] == [True, *(line["holds"] for line in sentences[1:])]
    speedup = runs["ours", "equal", 4, 1000.0]["speedup"]
    assert sentences[-1]["measured"] == f"{speedup:.2f} ({speedup:.2f}-{speedup:.2f})"  # one repetition
    three = [{**cell(study, "ours", "equal", 1, 0.0, cost), "seconds_a_step": pace} for pace in (0.1, 0.2, 0.3)]
    assert relative_paces(run_of_cell(study, three, trajectories, 0.15)) == [pytest.approx(0.5), pytest.approx(1.5)]
    without_limits = [run for run in report["runs"] if not run["bandwidth_mbit"]]  # a study may have no limited link
    assert len(predict(study, "ours", without_limits, cost)) == 3 * 4 * 5

    write_page(report, tmp_path / "scaling.md")
    page = (tmp_path / "scaling.md").read_text()
    assert f"| {sentences[0]['claim']} | {sentences[0]['measured']} | yes |" in page
    assert "Not measured yet" in page  # faults
    assert "| thesis | 0.185 | 0.224 (0.222-0.226) | 21% |" in page
    fault = {"fault": "a node lost", "exit_code": 4, "attempts": 3, "seconds_lost": 9.5, "same_losses": False}
    write_page(
        report | {"faults": [fault | {"messages": ["train: worker 1 | ended", "train: gave up"]}]},
        tmp_path / "scaling.md",
    )
    line = "| a node lost | 4 | 3 | 9.5 | no | worker 1 / ended; gave up |"
    assert line in (tmp_path / "scaling.md").read_text()
    assert len(draw_all(report, tmp_path / "scaling")) == len(FIGURES)


def check_least_links(lines: list[dict], cost: Cost) -> None:
    """At the reported bandwidth, so many nodes are as fast as one."""
    work = {"thesis": Work(32, MODEL_BYTES), "ours": Work(32, MODEL_BYTES, 100)}
    assert len(lines) == 3 * 6
    for line in lines:
        step, least = work[line["engine"]], line["least_mbit"]
        together = cost.seconds(step, line["nodes"], 0.4, least or 0, line["exchange"])
        alone = cost.seconds(step, 1, 0.4, 0)
        assert together >= alone if least is None else together == pytest.approx(alone, rel=0.02), line


def test_settings_for_a_bandwidth_have_their_own_trajectory_and_training():
    thin, narrow = ["communication.powersgd_rank=8"], ["communication.powersgd_rank=2"]
    engine = Engine(always=["train.seed=1"], links={0: thin, 100: thin, 10: narrow}, paths=[1, 2])
    study = Study(engines={"ours": engine}, reference="ours", nodes=[1, 2, 4], bandwidths_mbit=[0, 100, 10])
    assert study.paths("ours") == [(1, 0.0), (2, 0.0), (2, 10.0)]
    assert engine.path(4, 100.0) == (2, 0.0)
    assert engine.overrides(1, 10.0) == ["train.seed=1"]
    assert engine.overrides(2, 10.0) == ["train.seed=1", *narrow]
    cells = [{"engine": "ours", "nodes": 4, "bandwidth_mbit": mbit} for mbit in (0.0, 100.0, 10.0)]
    assert grouped_by_training(study, cells) == [cells[:2], cells[2:]]


def test_a_target_that_is_never_reached_has_no_seconds():
    assert epochs_to([0.1, 0.2, 0.15], 0.15) == 2
    assert epochs_to([0.1, 0.2], 0.3) is None


costs = st.builds(Cost, *[st.floats(1e-4, 1e-1) for _ in range(3)], st.floats(1e-5, 1e-2))


@given(costs, st.floats(0.1, 2.0))
def test_the_fit_returns_the_model_that_made_the_numbers(cost, cpus):
    rows = [
        cost_terms(Work(captions, MODEL_BYTES), nodes, cpus, mbit)
        for captions in (32, 128)
        for nodes in (1, 2, 4)
        for mbit in (0, 10, 1000)
    ]
    seconds = [sum(a * b for a, b in zip(line, cost.__dict__.values(), strict=True)) for line in rows]
    fitted, errors = fit(rows, seconds)
    assert max(map(abs, errors)) < 1e-6
    assert fitted.work == pytest.approx(cost.work, rel=1e-3)


@given(st.integers(2, 64))
def test_bytes_and_rounds_of_the_exchanges(nodes):
    assert EXCHANGES["ring"](nodes, 1.0) == (pytest.approx(2 - 2 / nodes), 2 * nodes - 2)
    assert EXCHANGES["tree"](nodes, 1.0) == (2 * math.ceil(math.log2(nodes)), 2 * math.ceil(math.log2(nodes)))
    assert EXCHANGES["parameter server"](nodes, 1.0) == (2 * nodes, 2)
    assert all(exchange(1, 1.0) == (0, 0) for exchange in EXCHANGES.values())


def test_results_continue_in_their_file(tmp_path, capsys):
    path = tmp_path / "some" / "lines.jsonl"
    Results(path, ("a", "b")).add({"a": 1, "b": 2.0, "c": [3]})
    again = Results(path, ("a", "b"))
    assert again.has(a=1, b=2, c="whatever")
    assert not again.has(a=1, b=3)


def test_an_impossible_study_is_refused(tmp_path):
    assert read_study("lab/experiments/study.yaml", ["seeds=[5]"]).seeds == [5]
    for override, word in {
        "nods=[1]": "nods",
        "reference=nobody": "nobody",
        "regimes.equal.cpus_together=1": "equal",
    }.items():
        with pytest.raises(InputError, match=word):
            read_study("lab/experiments/study.yaml", [override])
    with pytest.raises(InputError, match=r"absent\.yaml"):
        read_study(str(tmp_path / "absent.yaml"))
    with pytest.raises(InputError, match="found an earthquake, expected any of: none, a link cut for 5 s"):
        read_study("lab/experiments/study.yaml", ["faults.names=[an earthquake]"])
    assert list(FAULTS) == list(FAULT_NAMES)


def test_messages_of_a_fault_leave_progress_out():
    lines = [
        (1.0, "train: attempt 1 failed: before the fault"),
        (9.0, "train: step 3/50 of epoch 2/3  loss 3.1  90 captions/s  2.0 s"),
        (9.5, "25/11/27 20:50:17 WARN TaskSetManager: Lost task 1.0"),
        (10.0, "train: attempt 1 failed: worker 1 was lost; restarting in 2 s from the last checkpoint"),
        (20.0, "train: worker 0 is ready: 1 CPU"),
        (30.0, "train: epoch 2/3  loss 3.0  val_loss 3.1  90 captions/s  9.0 s"),
        (40.0, "train: the loss still falls (the rule: val_loss of the last epoch)"),
    ]
    assert notable_messages(lines, 5.0) == [lines[3][1]]
