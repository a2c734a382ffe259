"""A package's runs -> on Weave an evaluation for each, and a leaderboard over the benchmarks.

A run is a model whose version is its config and its results: one that did not change between two
snapshots is not evaluated again.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from functools import cache
from typing import Any

from reports.boards.package import Board, Package
from reports.results import HEADLINES

EVALUATE = "Evaluation.evaluate"
_ASKED = ("depth", "dim", "batch", "lr", "params")


def op_ref(client: Any, name: str) -> str:
    """Return a ref to all versions of the op *name* in the client's project."""
    return f"weave:///{client.entity}/{client.project}/op/{name}:*"


def push(client: Any, package: Package, board: Board) -> list[str]:
    """Evaluate the runs that are not yet, and rank them; return what was left out."""
    scored = _scored(package, board)
    if not scored:
        return ["no benchmark was measured: no leaderboard"]
    import weave  # noqa: PLC0415

    models = [(_model(row, scores), scores) for row, scores in scored]
    refs = [ref.uri for ref in [weave.publish(model) for model, _ in models]]
    done = _whole(client, dict(zip(refs, (len(scores) for _, scores in models), strict=True)))
    for (model, scores), ref in zip(models, refs, strict=True):
        if ref not in done:
            _evaluate(package, board, model, scores)
    client.flush()  # the one that takes a second, however many calls there are
    calls = _evaluations(client, refs)
    if not calls:
        return ["this server keeps no evaluations: no leaderboard"]
    newest = max(calls, key=lambda call: call.started_at)
    weave.publish(_leaderboard(package, board, newest.inputs["self"]))
    return []


def read_back(client: Any, package: Package, board: Board) -> list[str]:
    """Return whose scores the server has otherwise, or not at all."""
    scored = _scored(package, board)
    if not scored:
        return []
    import weave  # noqa: PLC0415

    refs = {weave.publish(_model(row, scores)).uri: (row, scores) for row, scores in scored}
    stored: dict[str, list[dict[str, float]]] = {}
    for call in _evaluations(client, list(refs)):
        if call.ended_at is not None:
            stored.setdefault(call.inputs["model"], []).append(_means(call.output, board))
    return [
        f"the scores of {row['name']}"
        for ref, (row, scores) in refs.items()
        if stored.get(ref) != [scores]
    ]


def _keys(board: Board) -> list[str]:
    """Return the columns that runs are ranked by, those that people compare first in front."""
    there = {column.key for column in board.columns}
    wanted = [*HEADLINES, *board.benchmarks, "bpb"]
    return [key for key in dict.fromkeys(wanted) if key in there]


def _scored(package: Package, board: Board) -> list[tuple[dict[str, Any], dict[str, float]]]:
    """Return the runs with what they scored, as far as it is a finite number."""
    keys = _keys(board)
    found = []
    for row in package.runs():
        scores = {key: float(row[key]) for key in keys if isinstance(row.get(key), float | int)}
        if scores:
            found.append((row, scores))
    return found


@cache
def _class() -> Any:
    import weave  # noqa: PLC0415

    class Run(weave.Model):  # type: ignore[misc]
        """One training run: what it was asked for, and what it scored."""

        run_id: str
        stage: str
        asked: dict[str, float | str]
        scores: dict[str, float]

    return Run


def _model(row: dict[str, Any], scores: dict[str, float]) -> Any:
    return _class()(
        name=_name(row),
        description=row["name"],
        run_id=row["id"],
        stage=row["stage"],
        asked={key: row[key] for key in _ASKED if key in row},
        scores=scores,
    )


def _name(row: dict[str, Any]) -> str:
    """Return a name that Weave takes and no other run has, whatever the run is called."""
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", row["name"])[:60].strip("-") or "run"
    return f"{word}-{hashlib.sha256(row['id'].encode()).hexdigest()[:8]}"


def _evaluations(client: Any, models: list[str]) -> list[Any]:
    """Return the calls that evaluated *models*, their refs not followed."""
    return list(
        client.server.calls_query_stream(
            {
                "project_id": client.project_id,
                "filter": {"op_names": [op_ref(client, EVALUATE)], "input_refs": models},
            }
        )
    )


def _whole(client: Any, scores: dict[str, int]) -> set[str]:
    """Return the models that are evaluated, and remove what a killed push had begun.

    The end of an evaluation may have been sent before its predictions, so these are counted.
    *scores* is how many each model has.
    """
    calls = _evaluations(client, list(scores))
    if not calls:
        return set()
    ids = [call.id for call in calls]
    asked = {"project_id": client.project_id, "filter": {"parent_ids": ids}}
    parts = Counter(call.parent_id for call in client.server.calls_query_stream(asked))
    whole = {
        call.id: call.inputs["model"]
        for call in calls
        if call.ended_at is not None
        and parts[call.id] == scores[call.inputs["model"]] + 1  # and their summary
    }
    cut = [call.id for call in calls if call.id not in whole]
    if cut:
        client.delete_calls(cut)
    return set(whole.values())


def _evaluate(package: Package, board: Board, model: Any, scores: dict[str, float]) -> None:
    import weave  # noqa: PLC0415

    rows = [{"benchmark": key} for key in _keys(board)]
    dataset = weave.Dataset(name=f"{package.project}-benchmarks", rows=weave.Table(rows))
    log = weave.EvaluationLogger(
        name=model.description, model=model, dataset=dataset, trace_scores=False
    )
    for key, score in scores.items():
        prediction = log.log_prediction(inputs={"benchmark": key}, output=score)
        prediction.log_score(key, score)
        prediction.finish()
    log.log_summary({key: {"mean": score} for key, score in scores.items()}, auto_summarize=False)


def _means(output: Any, board: Board) -> dict[str, float]:
    found = dict(output or {})
    return {key: found[key]["mean"] for key in _keys(board) if key in found}


def _leaderboard(package: Package, board: Board, evaluation: str) -> Any:
    from weave.trace.builtin_object_classes import leaderboard  # noqa: PLC0415

    columns = {column.key: column for column in board.columns}
    return leaderboard.Leaderboard(
        name=f"{package.project}-leaderboard",
        description=", ".join(columns[key].label for key in _keys(board)),
        columns=[
            leaderboard.LeaderboardColumn(
                evaluation_object_ref=evaluation,
                scorer_name=key,
                summary_metric_path="mean",
                should_minimize=columns[key].direction == "min",
            )
            for key in _keys(board)
        ],
    )
