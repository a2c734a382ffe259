"""Which files are the same run, which run began from which: decided by what they say alone."""

from __future__ import annotations

import itertools

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from etl import claims, identity, lineage
from etl.ledger import Holding
from etl.project import Settings
from etl.sources.facts import Facts
from etl.sources.frames import POINTS
from etl.sources.reading import GROUPED


def curve(seed, steps, *, digits=6):
    """A loss curve that no other seed has, printed in so many digits."""
    return {step: round(3.0 + (seed * 7919 + step * 31) % 997 / 997, digits) for step in steps}


def holding(own_id, kind, *, known=False, values=None, key="train/loss", **facts):
    steps = sorted(values or {})
    first, last = (steps[0], steps[-1]) if steps else (None, None)
    sample = {key: values} if values else {}
    said = Facts(
        own_id, own_id, id_known=known, first_step=first, last_step=last, **{"name": None, **facts}
    )
    return Holding(f"{own_id}.{kind}", kind, own_id, said, sample)


def runs(*holdings):
    found, notes = identity.resolve(claims.claims(holdings, Settings()))
    return found, notes


PRETRAINING = {"source_project": "nanochat", "stage": "pretraining"}


def test_a_console_log_is_of_the_run_whose_losses_it_prints():
    """It names no id; at the steps that both logged its values are those of one of two seeds."""
    found, notes = runs(
        holding("w1", "wandb-offline", known=True, values=curve(1, range(0, 1000, 100))),
        holding("w2", "wandb-offline", known=True, values=curve(2, range(0, 1000, 100))),
        holding("log", "nanochat-console", values=curve(2, range(0, 1000, 50), digits=4)),
    )

    assert (found["log"], notes) == ("w2", [])


def test_a_name_that_two_runs_have_is_no_reason_to_take_either():
    """A speedrun gives one name to every stage; a stage that is not stated decides for none."""
    found, notes = runs(
        holding("w1", "wandb-offline", known=True, name="d20", source_project="nanochat"),
        holding("w2", "wandb-offline", known=True, name="d20", source_project="nanochat-sft"),
        holding("csv", "wandb-ui-csv", name="d20"),
    )

    assert found["csv"] == "csv"
    assert "w1, w2" in notes[0]


def test_a_name_and_a_stage_are_enough_where_nothing_contradicts_them():
    found, _ = runs(
        holding("w1", "wandb-offline", known=True, name="d20", source_project="nanochat"),
        holding("w2", "wandb-offline", known=True, name="d20", source_project="nanochat-sft"),
        holding("csv", "wandb-runs-table", name="d20", source_project="nanochat-sft"),
    )

    assert found["csv"] == "w2"


def test_values_that_differ_outweigh_a_name():
    """A second seed under the same name is another run."""
    found, _ = runs(
        holding("w1", "wandb-offline", known=True, name="d20", values=curve(1, range(9))),
        holding("csv", "wandb-history", name="d20", values=curve(2, range(9))),
    )

    assert found["csv"] == "csv"


def test_another_depth_is_another_run_and_an_automatic_size_contradicts_nothing():
    """-1 is nanochat's word for "decide yourself"; what it came to is in the other file."""
    asked = {"depth": 12, "total_batch_size": -1}
    made = {"depth": 12, "total_batch_size": 524288}
    found, _ = runs(
        holding("w1", "wandb-offline", known=True, name="a", config=asked, **PRETRAINING),
        holding("m12", "nanochat-checkpoint", name="a", effective=made, **PRETRAINING),
        holding("m20", "nanochat-checkpoint", name="a", effective={"depth": 20}, **PRETRAINING),
    )

    assert (found["m12"], found["m20"]) == ("w1", "m20")


def test_traces_without_any_id_come_together_by_tag_and_values():
    """A run=dummy training: its console log, a checkpoint and a page of its report are one run."""
    found, _ = runs(
        holding("log", "nanochat-console", values=curve(1, range(0, 100, 10)), **PRETRAINING),
        holding("meta", "nanochat-checkpoint", model_tag="d4", **PRETRAINING),
        holding("page", "nanochat-report", config={"depth": 4}, **PRETRAINING),
        holding("other", "nanochat-checkpoint", model_tag="d6", **PRETRAINING),
        holding(
            "log6", "nanochat-console", model_tag="d6", values=curve(2, range(9)), **PRETRAINING
        ),
    )

    assert found["meta"] == found["page"]
    assert found["other"] == found["log6"] != found["meta"]


def test_a_console_log_of_a_project_of_ones_own_is_found_to_be_its_run():
    """What the log says of its W&B project is only what nanochat's script is set to."""
    found, _ = runs(
        holding(
            "w1", "hooks-jsonl", known=True, source_project="mine", stage="sft",
            values=curve(1, range(0, 90, 10)),
        ),
        holding(
            "log", "nanochat-console", source_project="nanochat-sft", stage="sft",
            values=curve(1, range(0, 90, 5)),
        ),
    )  # fmt: skip

    assert found["log"] == "w1"


def test_a_mean_of_runs_is_no_run():
    found, _ = runs(
        holding("w1", "wandb-offline", known=True, name="d20", values=curve(1, range(9))),
        holding("g", "wandb-ui-csv", name="d20", job_type=GROUPED),
    )

    assert found["g"] == "g"


def test_chat_runs_begin_from_the_checkpoint_that_they_load():
    """The tag and the stage that it loaded; of two that wrote it, the last one before."""
    base = {"known": True, "config": {"depth": 20}, **PRETRAINING}
    held = [
        holding("b1", "wandb-offline", started_at=1.0, **base),
        holding("b2", "wandb-offline", started_at=5.0, **base),
        holding(
            "s", "wandb-offline", known=True, started_at=9.0, source_project="nanochat-sft",
            stage="sft", config={"model_tag": "d20", "model_step": 100},
        ),
        holding(
            "r", "wandb-offline", known=True, started_at=10.0, source_project="nanochat-rl",
            stage="rl", config={"model_tag": "d20"},
        ),
    ]  # fmt: skip
    found = claims.claims(held, Settings())
    mapping, _ = identity.resolve(found)

    assert lineage.parents(found, mapping) == {"s": "b2", "r": "s"}


def test_the_answer_does_not_depend_on_the_order_of_files():
    held = [
        holding("w1", "wandb-offline", known=True, name="a", values=curve(1, range(0, 90, 10))),
        holding("log", "nanochat-console", values=curve(1, range(0, 90, 5))),
        holding("csv", "wandb-ui-csv", name="a"),
        holding("tag", "nanochat-checkpoint", model_tag="d4", **PRETRAINING),
    ]

    assert (
        len({str(sorted(runs(*order)[0].items())) for order in itertools.permutations(held)}) == 1
    )


@given(st.lists(st.integers(0, 5000), unique=True, min_size=1), st.data())
def test_a_sample_is_the_same_in_any_portions(steps, data):
    """What shows which files go together must not depend on when they were looked at."""
    points = pl.DataFrame(
        [("train/loss", step, step / 7, None, None) for step in steps], schema=POINTS, orient="row"
    )
    cut = data.draw(st.integers(0, len(steps)))
    portions = claims.sample(points[cut:], claims.sample(points[:cut], {}))

    assert portions == claims.sample(points, {})
