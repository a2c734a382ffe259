"""A package -> a board on Weave: one object whose versions are the project's snapshots.

The object holds the page and each chart as ``weave.Content`` and the runs as ``weave.Dataset``. It
is content-addressed, so the same snapshot makes no second version. What is not (calls) is looked
for before it is made, so that a push that was killed is finished and not repeated.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from reports.boards import weave_scores
from reports.boards.package import Board, ChartFile, Package
from reports.boards.server import Server, ask
from reports.boards.target import AbsentError, Receipt, UnreachableError, project_of
from reports.boards.weave_session import Session, lacking

PLOTLY = "application/vnd.plotly.v1+json"
BUILD = "build_board"  # the name of the op whose view is the report


class WeaveBoard:
    """The Weave beside a W&B server, as a place for boards."""

    name = "weave"

    def __init__(self, found: Server) -> None:
        self.server = found
        self.session = Session(found, self.where())

    def where(self) -> str:
        """Return the trace server's address, with the entity where one is set."""
        return "/".join(filter(None, (self.server.trace_url, self.server.entity)))

    def reach(self, timeout_sec: float) -> list[str]:
        """Find out whether a Weave answers, before its client waits for one that does not."""
        if importlib.util.find_spec("weave") is None:
            raise AbsentError(
                "the weave client is not installed here", fix="pip install 'runatlas[weave]'"
            )
        if not self.server.key:
            raise UnreachableError(
                "no key for it is set up",
                where=self.server.base_url,
                fix=f"wandb login --host {self.server.base_url}",
            )
        answer = ask(f"{self.server.trace_url}/server_info", timeout_sec)
        if answer.status >= 500:
            raise UnreachableError(
                f"it answers with HTTP {answer.status}",
                where=self.server.trace_url,
                fix="run this again when it is well",
            )
        if not _is_weave(answer.body):
            raise AbsentError(
                "there is no Weave at that address",
                where=self.server.trace_url,
                fix="set WF_TRACE_SERVER_URL if it is elsewhere, or publish with --to wandb",
            )
        ask(self.server.base_url, timeout_sec)
        return []

    def push(self, package: Package) -> Receipt:
        """Publish the board of *package*, its lineage, scores and view."""
        board = package.board()
        left_out: list[str] = []
        with self.session.speaking(f"pushing {package.name}"):
            client = self.session.open(project_of(package))
            import weave  # noqa: PLC0415  an extra, 1.3 s to import, and silent once it is open

            later = _later(client, package)
            runs = weave.Dataset(name=f"{package.project}-runs", rows=weave.Table(package.runs()))
            runs_ref = weave.publish(runs)
            ref = weave.publish(_object(package, board, runs), name=board_name(package))
            _label(weave, ref, package, left_out)
            if later:
                left_out.append(f"a later snapshot is there too, as {board_name(package)}:{later}")
            _lineage(client, package, runs_ref, ref)
            left_out += weave_scores.push(client, package, board)
            if lacking(lambda: _view(weave, package)):
                left_out.append("this server has no saved views")
            client.flush()
        return Receipt(_page(ref), ref.digest, tuple(left_out), {"ref": ref.uri})

    def read_back(self, receipt: Receipt, package: Package) -> list[str]:
        """Read everything again, and compare each content with the package's bytes."""
        with self.session.speaking(f"reading back {package.name}"):
            client = self.session.open(project_of(package))
            import weave  # noqa: PLC0415

            stored = weave.ref(receipt.more["ref"]).get()
            board = package.board()
            wrong = [
                name for name, content in _stored(stored, board) if content != package.read(name)
            ]
            if [dict(row) for row in stored.runs.rows] != package.runs():
                wrong.append("runs.jsonl")
            if stored.description != board.description:
                wrong.append("the description")
            if not _build_calls(client, package):
                wrong.append("the call that says how it was built")
            return wrong + weave_scores.read_back(client, package, board)

    def close(self) -> None:
        """Let go of the client."""
        self.session.close()


def board_name(package: Package) -> str:
    """Return the name of the object whose versions are the project's boards."""
    return f"{package.project}-board"


def _is_weave(body: bytes) -> bool:
    # a W&B server without Weave answers every path with its own page
    try:
        return "min_required_weave_python_version" in json.loads(body)
    except (ValueError, TypeError):
        return False


def _object(package: Package, board: Board, runs: Any) -> Any:
    """Return the object to publish. Nothing in it depends on when or where it is made."""
    return _board_class()(
        name=board_name(package),
        description=board.description,
        project=package.project,
        snapshot=package.snapshot,
        previous=package.previous,
        created_at=package.created_at,
        counts=dict(board.counts),
        sources=dict(board.sources),
        versions=dict(board.versions),
        files={name: sha for name, (sha, _) in sorted(package.files.items())},
        report=_content(package, "report.html", "text/html", ".html"),
        charts={chart.key: _figure(package, chart) for chart in board.charts},
        stills={
            f"{chart.key}-{theme}": _content(package, name, "image/png", ".png")
            for chart in board.charts
            for theme, name in sorted(chart.stills.items())
        },
        runs=runs,
    )


@cache
def _board_class() -> Any:
    import weave  # noqa: PLC0415

    class Board(weave.Object):  # type: ignore[misc]
        """What one snapshot's board holds."""

        project: str
        snapshot: str
        previous: str | None
        created_at: str
        counts: dict[str, int]
        sources: dict[str, int]
        versions: dict[str, str]
        files: dict[str, str]
        report: weave.Content
        charts: dict[str, weave.Content]
        stills: dict[str, weave.Content]
        runs: weave.Dataset

    return Board


def _content(package: Package, name: str, kind: str, extension: str, **more: Any) -> Any:
    import weave  # noqa: PLC0415

    return weave.Content.from_bytes(
        package.read(name), mimetype=kind, extension=extension, metadata={"file": name, **more}
    )


def _figure(package: Package, chart: ChartFile) -> Any:
    said = {"title": chart.title, "subtitle": chart.subtitle, "summary": chart.summary}
    return _content(package, chart.figure, PLOTLY, ".json", **said)


def _stored(stored: Any, board: Board) -> list[tuple[str, bytes]]:
    """Return the package's name and the stored bytes of each content."""
    found = [("report.html", stored.report.data)]
    for chart in board.charts:
        found.append((chart.figure, stored.charts[chart.key].data))
        found += [
            (name, stored.stills[f"{chart.key}-{theme}"].data)
            for theme, name in sorted(chart.stills.items())
        ]
    return found


def _later(client: Any, package: Package) -> str | None:
    """Return the snapshot of the board that is current there, if it is a later one."""
    answer = client.server.objs_query(
        {
            "project_id": client.project_id,
            "filter": {"object_ids": [board_name(package)], "latest_only": True},
        }
    )
    for entry in answer.objs:
        said = entry.val if isinstance(entry.val, dict) else {}
        if str(said.get("created_at", "")) > package.created_at:
            return str(said.get("snapshot"))
    return None


def _label(weave: Any, ref: Any, package: Package, left_out: list[str]) -> None:
    calls: list[tuple[str, Callable[[], object]]] = [
        ("tags", lambda: weave.add_tags(ref, [package.snapshot])),
        ("aliases", lambda: weave.set_aliases(ref, [package.snapshot])),
    ]
    left_out += [f"this server has no {what}" for what, call in calls if lacking(call)]


def _lineage(client: Any, package: Package, runs: Any, board: Any) -> None:
    """Make the call that led from the runs to the board; its view is the report."""
    import weave  # noqa: PLC0415

    if _build_calls(client, package):
        return
    content = _content(package, "report.html", "text/html", ".html")

    def build(snapshot: str, runs: str, files: dict[str, str]) -> dict[str, str]:  # noqa: ARG001
        weave.set_view("report", content)
        return {"board": board.uri}

    traced = weave.op(build, name=BUILD, enable_code_capture=False)
    traced(package.snapshot, runs.uri, {n: sha for n, (sha, _) in sorted(package.files.items())})


def _build_calls(client: Any, package: Package) -> list[Any]:
    """Return the finished calls that built the board of *package*."""
    calls = client.get_calls(
        filter={"op_names": [weave_scores.op_ref(client, BUILD)]},
        query={
            "$expr": {"$eq": [{"$getField": "inputs.snapshot"}, {"$literal": package.snapshot}]}
        },
        columns=["id", "ended_at", "inputs"],
    )
    return [call for call in calls if call.ended_at is not None]


def _view(weave: Any, package: Package) -> None:
    view = weave.SavedView("traces", f"{package.project}: boards")
    view.base.name = f"{package.project}-boards"
    view.filter_op(BUILD).add_columns("inputs.snapshot", "output.board").save()


def _page(ref: Any) -> str:
    from weave.trace import urls  # noqa: PLC0415

    return str(urls.object_version_path(ref.entity, ref.project, ref.name, ref.digest))
