"""The snapshot is of what is in the files: not of their order, portions, names or repetition."""

from __future__ import annotations

import shutil

import console_logs
import nanochat_files
import pytest
import wandb_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import sync as command


def curve(step):
    return round(3.0 - (step * 31 % 97) / 97, 6)


def wandb_run(folder, run_id, steps, *, finish, started):
    """A ``.wandb`` file: a training that logs by its own step, cut or ended."""
    records = [wandb_files.run(run_id, "nanochat", "d4", started=started, depth=4)]
    records += [
        wandb_files.history({"_step": at, "step": step, "train/loss": curve(step)})
        for at, step in enumerate(steps)
    ]
    path = folder / f"run-2026010{started % 10}_000000-{run_id}" / f"run-{run_id}.wandb"
    path.parent.mkdir()
    path.write_bytes(
        wandb_files.pack([*records, wandb_files.exit_record()][: None if finish else -1])[0]
    )
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One run from several sources, a resume, an export of it, and traces that name no run."""
    folder = tmp_path_factory.mktemp("files")
    wandb_run(folder, "w1", range(0, 300, 10), finish=False, started=1_800_000_001)
    wandb_run(folder, "w1", range(200, 500, 10), finish=True, started=1_800_000_502)
    chart = [f"{step},{curve(step)}" for step in range(0, 500, 100)]
    (folder / "chart.csv").write_text("\n".join(["step,d4 - train/loss", *chart]) + "\n")
    rows = [f'{{"step":{step},"loss":{curve(step)}}}' for step in range(50)]
    (folder / "other.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "speedrun.log").write_bytes(console_logs.text(console_logs.speedrun()))
    nanochat_files.whole(folder / "report")
    for step in (1000, 2000):
        nanochat_files.base(folder / "base_checkpoints" / "d4", step, val_bpb=1 - step / 1e5)
    (folder / "torn.jsonl").write_text('{"step":0,"loss":1.5}\n{"step":1,"lo')
    return sorted(path for path in folder.rglob("*") if path.is_file())


class Project:
    def __init__(self, folder):
        self.folder = folder

    def sync(self, *paths):
        arguments = ["--project", "p", "--data-dir", str(self.folder), *map(str, paths)]
        code = command.main(arguments)
        assert code in (0, 3)
        return (self.folder / "p" / "snapshots" / "latest").read_text()


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory):
    return Project(tmp_path_factory.mktemp("at-once")).sync(*files)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_order_split_and_repetition_of_the_same_files_is_the_same_snapshot(
    files, expected, data, tmp_path_factory, capsys
):
    """Also where one file tells which run another one is of."""
    order = data.draw(st.permutations(files))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(files) - 1), max_size=3)))
    again = data.draw(st.lists(st.sampled_from(files), max_size=3))
    project = Project(tmp_path_factory.mktemp("in-parts"))
    for begin, end in zip([0, *cuts], [*cuts, len(files)], strict=True):
        if order[begin:end]:
            found = project.sync(*order[begin:end])
    found = project.sync(*again)
    capsys.readouterr()

    assert found == expected


def test_the_place_of_the_files_does_not_matter(files, expected, tmp_path):
    """Copied elsewhere, under folders that sort otherwise."""
    root = next(path for path in files if path.name == "chart.csv").parent
    for path in files:
        place = tmp_path / "copy" / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)

    assert Project(tmp_path / "data").sync(tmp_path / "copy") == expected


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_files_that_grow_between_syncs_come_to_the_same(files, expected, data, tmp_path_factory):
    """Every log was read while it was written, cut anywhere; the last sync sees it whole."""
    root = next(path for path in files if path.name == "chart.csv").parent
    place = tmp_path_factory.mktemp("live")
    project = Project(tmp_path_factory.mktemp("data"))
    for share in (data.draw(st.integers(1, 99)), 100):
        for path in files:
            copy = place / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            copy.write_bytes(content[: len(content) * share // 100])
        found = project.sync(place)

    assert found == expected
