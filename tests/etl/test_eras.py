"""A run's date, project and config -> its era; a key -> its metric, as it was spelled then."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from etl import catalog, describe, eras, naming
from etl.blocks import NOTHING
from etl.project import Settings
from etl.sources.facts import Facts
from etl.stitch import stitch


def at(day):
    """Return noon of *day* as seconds since the epoch."""
    return datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC).timestamp()


def facts(project="nanochat", day=None, **more):
    """Return what a file may state of a run of *project* that began on *day*."""
    began = at(day) if day else None
    return Facts(run_id="r", segment_id="s", source_project=project, started_at=began, **more)


def test_the_table_of_changes_is_in_order_and_no_label_is_used_twice():
    """An era is placed by its date alone, so a label begins with it."""
    dates = [change.date for change in eras.CHANGES]
    labels = [change.era for change in eras.CHANGES]

    assert dates == sorted(dates)
    assert len(set(labels)) == len(labels)
    assert all(datetime.fromisoformat(label[:10]) for label in [*labels, eras.RELEASE])


def test_a_change_names_metrics_as_they_are_called_here():
    """A metric that nothing describes, or an alias of one, would never be found on a chart."""
    for change in eras.CHANGES:
        for metric in change.metrics:
            assert naming.describe(metric) is not None, metric
            assert metric not in catalog.NANOCHAT_ALIASES, metric


@pytest.mark.parametrize(
    ("day", "stage", "era"),
    [
        ("2025-10-12", "pretraining", None),
        ("2025-10-14", "pretraining", eras.RELEASE),
        ("2026-03-03", "pretraining", "2026-02-10 bf16_mfu"),
        ("2026-03-04", "pretraining", "2026-03-04 ClimbMix"),
        ("2026-03-04", "sft", "2026-02-16 ChatCORE"),
        ("2027-01-01", "midtraining", "2026-01-17 mfu by GPU"),
        ("2027-01-01", "pretraining", "2026-07-03 token_bytes"),
    ],
)
def test_a_runs_era_is_the_latest_change_to_its_stage(day, stage, era):
    """The day of the commit belongs to what it began."""
    assert eras.era_of(at(day), "nanochat", stage) == era


def test_a_run_without_a_date_or_not_of_nanochat_has_no_era():
    """Nothing is guessed; a script tells only where no project does."""
    noon = at("2026-05-01")

    assert eras.era_of(None, "nanochat", "pretraining") is None
    assert eras.era_of(noon, "owt", "pretraining") is None
    assert eras.era_of(noon, "owt", "pretraining", "base_train") is None
    assert eras.era_of(noon, None, "pretraining", "base_train") is not None
    assert eras.era_of(float("nan"), "nanochat", "pretraining") is None


def test_a_fork_that_goes_on_with_old_code_keeps_the_era_of_its_code():
    """Config keys that later code dropped say more than the clock."""
    noon = at("2026-06-01")

    assert eras.era_of(noon, "nanochat", "pretraining", config=["depth"])[:10] == "2026-03-09"
    assert eras.era_of(noon, "nanochat", "pretraining", config=["warmup_ratio"]) == (
        "2026-03-04 ClimbMix"
    )
    # SFT has a warmup_ratio to this day
    assert eras.era_of(noon, "nanochat-sft", "sft", config=["warmup_ratio"])[:10] == "2026-02-16"
    assert eras.era_of(noon, "nanochat-sft", "sft", config=["source"])[:10] == "2026-01-04"


def test_what_breaks_a_comparison_is_found_whichever_run_is_the_older():
    """And only for the metric and the stage that it concerns."""
    old, new = "2026-02-10 bf16_mfu", "2026-07-03 token_bytes"

    found = [change.commit for change in eras.breaks("val/bpb", "pretraining", new, old)]
    assert found == ["324e69c", "2ce972a"]
    assert eras.breaks("core_metric", "pretraining", old, new) == ()
    assert [c.commit for c in eras.breaks("val/bpb", "sft", old, new)] == ["2ce972a"]
    assert eras.breaks("val/bpb", "pretraining", new, new) == ()
    assert len(eras.changes_between("pretraining", old, new)) == 4


@pytest.mark.parametrize(
    ("key", "project", "day", "metric"),
    [
        ("train_loss", "nanochat-sft", "2026-01-30", "train/loss"),
        ("train_loss", "nanochat-sft", "2026-01-31", "train_loss"),
        ("train_loss", "nanochat-sft", None, "train/loss"),
        ("train_loss", "elsewhere", "2026-01-30", "train_loss"),
        ("lrm", "nanochat-rl", "2026-06-01", "train/lrm"),
        ("bf16_mfu", "nanochat", "2026-06-01", "train/mfu"),
        ("piqa", "nanochat", "2025-11-01", "centered_results.piqa"),
        ("piqa", "nanochat-sft", "2025-11-01", "piqa"),
        ("mmlu_acc", "nanochat-sft", "2025-11-01", "mmlu_acc"),
    ],
)
def test_an_alias_holds_in_its_projects_and_between_its_dates(key, project, day, metric):
    """Elsewhere and at other times the key keeps its own name."""
    assert naming.metric_of(key, facts(project, day), {}) == metric


def test_an_old_spelling_of_old_code_is_known_whenever_it_ran():
    """A fork of January's SFT still logs train_loss, and its config tells that it is one."""
    fork = facts("nanochat-sft", "2026-06-01", config={"source": "mid"})

    assert naming.metric_of("train_loss", fork, {}) == "train/loss"


def test_a_persons_own_alias_comes_first():
    assert naming.metric_of("lrm", facts(), {"lrm": "my/rate"}) == "my/rate"


def test_chatcore_with_spelling_bee_is_another_metric_than_without():
    """The key is the same; that the run measures SpellingBee too tells them apart."""
    five = facts("nanochat-sft", keys={"chatcore_metric": 1, "chatcore/MMLU": 1})
    six = facts("nanochat-sft", keys={"chatcore_metric": 1, "chatcore/SpellingBee": 1})
    summed = facts("nanochat-sft", summary={"chatcore/SpellingBee": 1.0})

    assert naming.metric_of("chatcore_metric", five, {}) == "chatcore_metric"
    assert naming.metric_of("chatcore_metric", six, {}) == "chatcore_spellingbee_metric"
    assert naming.metric_of("chatcore_metric", summed, {}) == "chatcore_spellingbee_metric"
    assert naming.metric_of("chatcore_cat", six, {}) == "chatcore_cat"


def test_a_renamed_config_key_is_in_the_effective_config_under_its_present_name():
    """What was asked for keeps its own spelling."""
    old = facts("nanochat-rl", "2025-12-01", config={"step": 700})
    rows = describe.config_rows("r", [("wandb-offline", old)])

    assert [(row["kind"], row["key"], row["number"]) for row in rows] == [
        ("requested", "step", 700.0),
        ("effective", "model_step", 700.0),
    ]
    assert naming.config_now(facts("nanochat-rl", "2026-05-01", config={"step": 700})) == {}


def test_the_runs_table_says_the_era():
    own = facts("nanochat", "2026-03-05", config={"depth": 12})
    row = describe.run_row(
        "p", "r", [("wandb-offline", own)], stitch([own]), NOTHING, settings=Settings()
    )

    assert row["era"] == "2026-03-04 ClimbMix"
    assert row["stage"] == "pretraining"


@pytest.mark.parametrize(
    ("metric", "unit", "direction"),
    [
        ("num_tokens", "tokens", None),
        ("train/grad_norm", "norm", None),
        ("centered_results.boolq", "centred accuracy", "max"),
        ("base_eval/boolq/accuracy", "fraction", "max"),
        ("pass@8", "fraction", "max"),
        ("train/bpb", "bits/byte", "min"),
        ("efficiency/mfu_percent", "%", "max"),
        ("evaluation/mmlu_normalized", "%", "max"),
        ("gpu/memory_allocated_gb", "GB", None),
        ("system/cpu_percent", "%", None),
        ("system.gpu.0.temp", "°C", None),
        ("task_mixture/gsm8k/coverage_percent", "%", None),
        ("train/learning_rate", "rate", None),
        ("eval/perplexity", "perplexity", "min"),
        ("eval_samples_per_second", "samples/s", "max"),
    ],
)
def test_the_unit_and_the_better_direction_of_what_is_commonly_logged_are_known(
    metric, unit, direction
):
    known = naming.describe(metric)

    assert (known.unit, known.direction, known.unit_known) == (unit, direction, True)


@pytest.mark.parametrize("metric", ["loss", "eval_loss", "train_loss", "eval_accuracy"])
def test_a_unit_that_may_be_any_is_not_claimed_though_the_direction_is_clear(metric):
    known = naming.describe(metric)

    assert known.direction
    assert not known.unit_known
    assert naming.metric_of(metric, facts("someone's"), {}) == metric


def test_nothing_is_made_up_of_a_name_that_says_nothing():
    assert naming.describe("env/all/ledger/w_char") is None
