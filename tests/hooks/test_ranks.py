"""The processes of one training are one run with ranks."""

from __future__ import annotations

import subprocess
import sys

import nanochat_scripts
import pytest
from launched import PLAIN, environment, hooked, logs, of_kind, plain, printed, rows

from hooks import ranks

TRAIN = """
import os, sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import hooks

def train(rank=None, size=None):
    told = {} if rank is None else {"rank": rank, "world_size": size}
    dist.init_process_group("gloo", **told)
    rank = dist.get_rank()
    run = hooks.init("p", "ddp", stage="pretraining", dir="raw", wandb=False, config={"lr": 0.1})
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(rank + 1)
    for step in range(20):
        loss = model(torch.randn(8, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"train/loss": loss.detach(), "weights": model.module.weight.sum()}, step=step)
    run.finish()
    dist.destroy_process_group()
"""

SPAWN = (
    TRAIN
    + """
if __name__ == "__main__":
    from torch.multiprocessing import spawn
    spawn(train, args=(2,), nprocs=2)
"""
)

TORCHRUN = TRAIN + "\nprint('rank', os.environ['RANK'])\ntrain()\n"


def torchrun(folder, *command, **more):
    """Run two processes as torchrun does, on a port of their own."""
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    options = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return plain(folder, *options, *command, OMP_NUM_THREADS="1", **more)


def synced(folder, query):
    import duckdb

    done = plain(folder, "-m", "etl.sync", "--project", "p", "--data-dir", "data", "raw")
    assert done.returncode in (0, 3), done.stderr
    with duckdb.connect(str(folder / "data" / "p" / "runs.duckdb"), read_only=True) as base:
        return base.execute(query).fetchall()


def check_merged(folder):
    """Two files, one run, 20 losses of each rank; both ranks have the same weights."""
    files = logs(folder / "raw")
    assert sorted(head[0]["rank"] for head in files) == [0, 1]
    assert {head[0]["world_size"] for head in files} == {2}
    assert len({head[0]["run_id"] for head in files}) == 1
    history = {
        metric: dict(points)
        for metric, points in synced(
            folder,
            "select metric, list((step, value) order by step) from history group by metric",
        )
    }
    assert synced(folder, "select name, stage, state from runs") == [
        ("ddp", "pretraining", "finished")
    ]
    assert {metric: len(points) for metric, points in history.items()} == {
        "train/loss": 20, "rank1/train/loss": 20, "weights": 20, "rank1/weights": 20
    }  # fmt: skip
    assert history["weights"] == history["rank1/weights"]
    assert history["train/loss"] != history["rank1/train/loss"]


@pytest.mark.slow
def test_a_real_ddp_training_under_torchrun_is_one_run_with_two_ranks(tmp_path):
    (tmp_path / "train.py").write_text(TORCHRUN)
    done = torchrun(tmp_path, "train.py")

    assert done.returncode == 0, done.stderr
    check_merged(tmp_path)


@pytest.mark.slow
def test_a_real_ddp_training_that_spawns_its_ranks_is_one_run_with_two_ranks(tmp_path):
    """No RANK in the environment: torch.distributed says which rank it is, and keeps the id."""
    pytest.importorskip("torch")
    (tmp_path / "train.py").write_text(SPAWN)
    more = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        more["MASTER_PORT"] = str(free.getsockname()[1])
    done = plain(tmp_path, "train.py", OMP_NUM_THREADS="1", **more)

    assert done.returncode == 0, done.stderr
    check_merged(tmp_path)


@pytest.mark.slow
def test_a_script_under_torchrun_and_hooks_run_is_one_run_and_prints_as_rank_0_does(tmp_path):
    """The script's own hooks.init finds the id; the console is that of rank 0."""
    (tmp_path / "train.py").write_text(TORCHRUN)
    done = torchrun(tmp_path, "-m", "hooks.run", "--project", "p", "--dir", "raw", "--", "train.py")

    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split(b"\n")[:2]) == [b"rank 0", b"rank 1"]
    consoles = {head[0]["rank"]: printed(head) for head in logs(tmp_path / "raw")}
    assert consoles[0][0] == "rank 0"
    assert consoles[1] == []
    check_merged(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["offline", "dummy"])
def test_nanochat_on_two_ranks_is_one_run_with_what_each_rank_logged(tmp_path, mode):
    """Rank 0 has a W&B run or a dummy, rank 1 a dummy; W&B's run has the id of both."""
    nanochat_scripts.write(tmp_path)
    own = ["-m", "hooks.run", "--project", "p", "--dir", "raw", "--", "-m", "scripts.chat_rl"]
    name = "dummy" if mode == "dummy" else "d20"
    more = {"WANDB_MODE": "offline", "WANDB_CONSOLE": "off"}
    done = torchrun(tmp_path, *own, "--run", name, **more)
    assert done.returncode == 0, done.stderr

    files = {head[0]["rank"]: head for head in logs(tmp_path / "raw")}
    assert rows(files[0]) == rows(files[1])
    assert len(rows(files[0])) == 263
    for head in files.values():
        assert (head[0]["name"], head[0]["source_project"]) == (name, "nanochat-rl")
        assert of_kind(head, "finish")[0]["exit_code"] == 0
    (run_id,) = {head[0]["run_id"] for head in files.values()}
    if mode == "offline":
        (theirs,) = (tmp_path / "wandb").glob("offline-run-*")
        assert theirs.name.endswith(run_id)
    counts = dict(
        synced(tmp_path, "select metric, count(*) from history group by metric order by metric")
    )
    assert counts["reward"] == counts["rank1/reward"] == 130
    assert synced(tmp_path, "select count(*) from runs") == [(1,)]


@pytest.mark.slow
def test_a_script_that_begins_a_wandb_run_in_each_rank_has_one_of_ours_and_two_of_wandb(tmp_path):
    """W&B takes one writer a run, so that only rank 0's W&B run is given the common id."""
    code = "import os, wandb\nrun = wandb.init(project='q', name=f'r{os.environ[\"RANK\"]}')\n"
    (tmp_path / "train.py").write_text(code + "run.log({'x': 1.0})\nrun.finish()\n")
    own = ["-m", "hooks.run", "--project", "p", "--dir", "raw", "--", "train.py"]
    done = torchrun(tmp_path, *own, WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr

    (run_id,) = {head[0]["run_id"] for head in logs(tmp_path / "raw")}
    theirs = {path.name[-len(run_id) :] for path in (tmp_path / "wandb").glob("offline-run-*")}
    assert len(theirs) == 2
    assert run_id in theirs


@pytest.mark.slow
def test_two_trainings_one_after_the_other_are_two_runs(tmp_path):
    """The same command, folder and port twice: nothing of the first is in the second's id."""
    (tmp_path / "train.py").write_text("import hooks; hooks.init('p', dir='raw', wandb=False)")
    torchrun(tmp_path, "train.py")
    torchrun(tmp_path, "train.py")

    ids = [head[0]["run_id"] for head in logs(tmp_path / "raw")]
    assert (len(ids), len(set(ids))) == (4, 2)


def test_processes_that_only_look_alike_share_no_id(monkeypatch):
    """A world of one has no shared id; nor has one that nothing tells from another."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_JOB_ID", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    assert ranks.shared_id() is None
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert ranks.shared_id() is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # two nodes: their launchers differ
    assert ranks.shared_id() is None
    assert ranks.new_id() != ranks.new_id()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert ranks.shared_id() != ranks.shared_id()  # the second run of a process is another one


def test_ranks_of_one_slurm_step_share_an_id():
    """Processes of the same step that were started apart agree; another step's do not."""
    code = "from hooks import ranks; print(ranks.new_id())"

    def started(step):
        more = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": str(step), "WORLD_SIZE": "2"}
        command = [*PLAIN, "-c", code]
        return subprocess.run(
            command, env=environment(**more), capture_output=True, check=True
        ).stdout

    assert started(0) == started(0) != started(1)


def test_a_launch_by_hand_without_a_common_parent_needs_a_run_id(tmp_path):
    """--run-id makes one run of ranks that nothing else joins."""
    (tmp_path / "train.py").write_text("import wandb; r = wandb.init(project='q'); r.log({'x': 1})")
    for rank in ("0", "1"):
        hooked(
            tmp_path, "train.py", options=("--run-id", "r7"), python=[sys.executable, "-S"],
            RANK=rank, WORLD_SIZE="2",
        )  # fmt: skip
    heads = [head[0] for head in logs(tmp_path / "raw")]

    assert [(head["run_id"], head["rank"]) for head in heads] == [("r7", 0), ("r7", 1)]
