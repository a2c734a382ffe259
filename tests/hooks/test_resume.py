"""A resumed run goes on where its files end, and knows what it came from."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hooks
from hooks import resume_point
from hooks.resume_point import Earlier


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="ascii").splitlines()]


def start(folder, **options):
    time.sleep(0.002)  # files are as old as their names say, to the millisecond
    return hooks.init("p", dir=folder, run_id="r", wandb=False, **options)


def steps(run):
    return [line["step"] for line in lines(run.path) if "_kind" not in line]


def test_a_resume_of_unknown_step_counts_on_from_the_last_step_in_the_folder(tmp_path):
    first = start(tmp_path, parent="base")
    for _ in range(5):
        first.log({"x": 1.0})
    second = start(tmp_path, resume=True)
    for _ in range(3):
        second.log({"x": 2.0})

    assert steps(second) == [5, 6, 7]
    head = lines(second.path)[0]
    assert (head["resumed"], head["resume_step"], head["earlier_step"]) == (True, None, 4)
    assert (head["parent_run_id"], second.parent) == ("base", "base")


def test_a_resume_of_a_known_step_counts_from_it(tmp_path):
    import numpy as np

    first = start(tmp_path)
    first.log({"x": 1.0}, step=90)
    second = start(tmp_path, resume=np.int64(60))
    second.log({"x": 2.0})
    third = start(tmp_path, resume=True)
    third.log({"x": 3.0})

    assert (steps(second), steps(third)) == ([60], [61])
    assert lines(second.path)[0]["resume_step"] == 60


def test_a_resume_that_finds_nothing_says_so(tmp_path, capsys):
    other = hooks.init("p", dir=tmp_path, run_id="r/", wandb=False)  # the same name in a file name
    other.log({"x": 1.0}, step=7)
    third = hooks.init("p", dir=tmp_path, run_id="r-", resume=True, wandb=False)
    third.log({"x": 1.0})

    assert steps(third) == [0]
    assert "no earlier step of run r-" in capsys.readouterr().err


def test_a_file_that_only_says_where_it_resumed_is_better_than_none(tmp_path):
    start(tmp_path, resume=300)

    assert resume_point.earlier(tmp_path, "r", 0) == Earlier(last_step=300)
    assert resume_point.earlier(tmp_path, "r", 1) == Earlier()


def test_the_last_step_is_found_behind_lines_that_are_longer_than_the_first_look(tmp_path):
    run = start(tmp_path)
    run.log({"x": 1.0}, step=41)
    for _ in range(30):
        run.summary["text"] = "x" * 50_000

    assert resume_point.earlier(tmp_path, "r", 0).last_step == 41


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = start(tmp_path_factory.mktemp("whole"))
    for step in range(100, 140):
        run.log({"x": 1.0}, step=step)
    return run.path


@given(cut=st.integers(0, 5000))
def test_a_file_cut_anywhere_gives_its_last_whole_step(whole, tmp_path_factory, cut):
    data = whole.read_bytes()[:cut]
    folder = tmp_path_factory.mktemp("cut")
    (folder / whole.name).write_bytes(data)
    rows = [json.loads(line) for line in data.split(b"\n")[1:] if line.endswith(b"}")]
    found = resume_point.earlier(folder, "r", 0).last_step

    assert found == (rows[-1]["step"] if rows else None)
