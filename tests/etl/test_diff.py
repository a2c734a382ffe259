"""Two snapshots compared: what changed and nothing else, the same from either side."""

from __future__ import annotations

import itertools
import math
import shutil
import zlib
from dataclasses import dataclass, field

import pytest

import hooks
from etl import diff as comparing
from etl import noise, project, snapshot


@dataclass
class Training:
    """One training as it is logged: val/bpb falls by an exponential from 3 to a floor."""

    floor: float = 1.0
    steps: int = 200
    seed: int = 1
    stage: str = "pretraining"
    config: dict = field(default_factory=dict)
    finish: bool = True
    flops: bool = True

    def bpb(self, step):
        unrest = 0.01 * math.sin(step * 12.9898 * self.seed)
        return self.floor + 2 * math.exp(-step / 40) + unrest


def log(place, run_id, training):
    """Log *training* once; the same one is the same file ever after, times and all."""
    folder = place.folder / "made" / f"{run_id}-{zlib.crc32(repr(training).encode())}"
    if not folder.exists():
        config = {"depth": 4, "seed": training.seed, **training.config}
        told = {"stage": training.stage, "config": config, "wandb": False}
        run = hooks.init("demo", run_id=run_id, dir=folder, **told)
        for step in range(0, training.steps + 1, 10):
            flops = 1e12 * step * training.config.get("width", 1)
            counted = {"total_training_flops": flops} if training.flops else {}
            run.log({"val/bpb": training.bpb(step), **counted}, step=step)
        if training.finish:
            run.finish()
    shutil.copytree(folder, place.logs, dirs_exist_ok=True)


def sync(place, trainings):
    """Return the manifest of exactly *trainings*, the tables made anew."""
    shutil.rmtree(place.logs)
    demo = project.locate("demo", place.data)
    demo.database.unlink(missing_ok=True)
    for run_id, training in trainings.items():
        log(place, run_id, training)
    return snapshot.read_manifest(demo, place.sync(place.logs).document["snapshot"])


def compare(place, before, after, baseline=None):
    return comparing.diff(project.locate("demo", place.data), before, after, baseline)


@pytest.fixture
def pair(place):
    """d4 is in both; d4-late goes on and finishes; d2 is gone; d8 is new, wider and better."""
    late = Training(1.1, steps=100, seed=4, finish=False)
    before = {"d4": Training(), "d2": Training(1.4, seed=3, config={"depth": 2}), "d4-late": late}
    after = {
        "d4": Training(),
        "d8": Training(0.6, seed=5, config={"depth": 8, "width": 3, "lr": 3e-3}),
        "d4-late": Training(1.1, seed=4, config={"lr": 1e-3}),
    }
    return sync(place, before), sync(place, after)


def test_a_small_pair_is_told_in_full(place, pair):
    """New, gone and changed runs, settings, states, records and the compute to the baseline."""
    found = compare(place, *pair)

    kinds = {change.run_id: change.kind for change in found.runs}
    assert kinds == {"d2": "gone", "d4-late": "changed", "d8": "new"}
    (late,) = found.of_kind("changed")
    assert late.state == ("unfinished", "finished")
    assert late.last_step == (100, 200)
    assert late.points == (22, 42)
    assert [(s.key, s.before, s.after) for s in late.config] == [("lr", None, "0.001")]
    (record,) = (move for move in found.records if move.metric == "val/bpb")
    assert record.runs == ("d4", "d8")
    assert (record.better, record.beyond) == (True, True)
    assert record.noise.rule == "scatter"
    assert 0 < record.noise.limit < 0.1
    moved = {(move.runs[0], move.metric, move.rule) for move in found.moves}
    assert moved == {("d4-late", "val/bpb", "best"), ("d4-late", "val/bpb", "last")}


def test_the_compute_to_reach_the_baseline_is_in_flops(place, pair):
    """d8 takes fewer steps, each of three times the FLOPs; d4-late never comes that far."""
    found = compare(place, *pair)
    reached = {reach.run_id: reach for reach in found.reaches}

    assert found.baseline == "d4"
    assert reached["d8"].unit == "FLOPs"
    assert reached["d8"].amount == 3e12 * reached["d8"].step
    assert reached["d8"].multiplier == reached["d8"].of_baseline / reached["d8"].amount
    assert reached["d4-late"].amount is None
    assert reached["d4-late"].multiplier is None
    named = compare(place, *pair, baseline="d4-late")
    assert named.baseline == "d4-late"
    assert compare(place, *pair, baseline="nobody").baseline is None


@pytest.mark.parametrize(("batch", "unit"), [(2048, "tokens"), (None, "steps")])
def test_without_flops_compute_is_tokens_else_steps(place, batch, unit):
    """In one unit for both runs: tokens where both configs say how many a step takes."""
    old = Training(flops=False, config={"total_batch_size": 1024})
    before = sync(place, {"d4": old})
    config = {"depth": 8, **({"total_batch_size": batch} if batch else {})}
    better = Training(0.6, seed=5, flops=False, config=config)
    (found,) = compare(place, before, sync(place, {"d4": old, "d8": better})).reaches

    assert found.unit == unit
    assert found.amount == found.step * (batch or 1)
    assert found.of_baseline / found.amount == found.multiplier


def test_runs_that_differ_in_their_seed_alone_measure_the_noise(place):
    """Three repeats give the limit by Student's t; a fourth training of other config does not."""
    repeats = {f"r{seed}": Training(seed=seed) for seed in (1, 2, 3)}
    before = sync(place, repeats)
    after = sync(place, {**repeats, "better": Training(0.9, seed=9, config={"lr": 1.0})})
    (record,) = (move for move in compare(place, before, after).records if move.rule == "best")
    best = [min(t.bpb(step) for step in range(0, 201, 10)) for t in repeats.values()]

    assert record.noise == noise.of_repeats([best])
    assert record.noise.rule == "repeats"
    assert record.noise.count == 3
    assert record.beyond


def test_noise_is_the_limit_of_repeatability():
    """ISO 5725: t times root two times the standard deviation; one value has none."""
    assert noise.of_repeats([[1.0], [2.0]]) is None
    assert noise.of_repeats([[1.0, 1.0]]) is None
    assert noise.of_repeats([[1.0, 3.0]]).limit == pytest.approx(
        12.71 * math.sqrt(2) * math.sqrt(2)
    )
    many = noise.of_repeats([[float(i % 2) for i in range(1000)]])
    assert many.limit == pytest.approx(1.96 * math.sqrt(2) * 0.5, rel=0.01)


STATES = (
    {"a": Training()},
    {"a": Training(steps=100, finish=False), "b": Training(0.8, seed=2)},
    {"a": Training(0.8, config={"lr": 0.1}), "b": Training(0.8, seed=2), "c": Training(seed=3)},
    {"b": Training(0.9, seed=2, config={"lr": 0.2, "note": "\u2028"}), "s": Training(stage="sft")},
    {"c": Training(seed=3), "d": Training(seed=5), "s": Training(0.7, stage="sft")},
)
SWAPPED = {"new": "gone", "gone": "new", "changed": "changed"}


def test_a_comparison_mirrors_itself_and_with_itself_finds_nothing(place):
    """diff(a, b) is diff(b, a) read backwards: runs, settings, values, noise and metrics."""
    states = [sync(place, state) for state in STATES]
    for before, after in itertools.combinations_with_replacement(states, 2):
        forth, back = compare(place, before, after), compare(place, after, before)

        assert forth.empty == (before.snapshot == after.snapshot)
        assert [mirrored(change) for change in forth.runs] == [facts(c) for c in back.runs]
        assert [told(move)[::-1] for move in forth.records] == [told(m) for m in back.records]
        assert [told(move)[::-1] for move in forth.moves] == [told(m) for m in back.moves]
        assert forth.metrics == back.metrics[::-1]


def told(move):
    """Return what reads the same backwards."""
    same = (move.metric, move.rule, move.stage, move.noise, move.beyond)
    return move.runs[0], move.before, same, move.after, move.runs[1]


def facts(change):
    pairs = (change.state, change.points, change.last_step, *change.facts.values())
    settings = [(s.key, s.kind, s.before, s.after) for s in change.config]
    return change.run_id, change.kind, pairs, settings


def mirrored(change):
    run, kind, pairs, settings = facts(change)
    turned = [(key, kind, after, before) for key, kind, before, after in settings]
    return run, SWAPPED[kind], tuple(pair[::-1] for pair in pairs), turned


def test_an_unchanged_run_is_not_opened(place, pair, monkeypatch):
    """Only the parts of runs that changed, or that hold a record or the baseline, are read."""
    asked = set()
    real = comparing.State.ask

    def noting(self, sql, runs, *values):
        asked.update(runs)
        return real(self, sql, runs, *values)

    monkeypatch.setattr(comparing.State, "ask", noting)
    more = {f"idle{i}": Training(1.5 + i, seed=i) for i in (6, 7)}
    kept = {"d4": Training(), **more}
    before = sync(place, kept)
    after = sync(place, {**kept, "d8": Training(0.6, seed=5)})
    compare(place, before, after)

    assert asked == {"d4", "d8"}
