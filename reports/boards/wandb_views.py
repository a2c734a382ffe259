"""A package -> a W&B report and a workspace over the project's runs, with 3D scatter panels.

Made with ``wandb-workspaces`` where it is installed; a project has one of each, which every later
snapshot brings up to date. They show the page's own quantities: what its 3D charts have on their
axes, parallel coordinates from settings to results, and the page and the charts themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from etl.pulling.connect import AnswerError
from reports import theme
from reports.boards import wandb_media
from reports.boards.package import Package
from reports.boards.wandb_runs import MOST_RUNS, run_name
from reports.boards.wandb_session import WandbSession

VIEW = "runatlas"
_LONGEST_TITLE = 128  # W&B's own limit
_SCATTERS = (
    ("Training: settings and what came of them", ("depth", "lr", "accuracy")),
    ("Loss by shape", ("dim", "batch", "loss")),
    ("Speed", ("train/mfu", "train/tok_per_sec", "accuracy")),
)
_COORDINATES = ("depth", "dim", "batch", "lr", "loss", "bpb", "accuracy")


def push_views(session: WandbSession, place: str, package: Package) -> list[str]:
    """Make the report and the workspace; return what is left out, as sentences."""
    if find_spec("wandb_workspaces") is None:
        fix = 'pip install "runatlas[boards]"'
        return [f"no W&B report and workspace: wandb-workspaces is not installed; {fix}"]
    left_out = []
    for what, save in (("workspace", _save_workspace), ("report", _save_report)):
        try:
            session.ask(partial(save, session, place, package))
        except AnswerError as problem:
            reason = str(problem).strip().split("\n")[0]
            left_out.append(f"no W&B {what}: this server does not take it ({reason})")
    return left_out


def _save_workspace(_session: WandbSession, place: str, package: Package) -> None:
    """Make the view, or bring the one that is there up to date."""
    from wandb_workspaces import workspaces  # noqa: PLC0415  of the extra

    entity, project = place.split("/")
    colours = {
        name: workspaces.RunSettings(color=colour) for name, colour in _colours(package).items()
    }
    view = workspaces.Workspace(
        entity=entity,
        project=project,
        name=f"{package.project}: runatlas",
        sections=[
            workspaces.Section(name="Report and charts", panels=[_media(package)], is_open=True),
            workspaces.Section(name="Runs", panels=_panels(package), is_open=True),
        ],
        runset_settings=workspaces.RunsetSettings(run_settings=colours),
    )
    # a name of our own instead of a random one, by which the next snapshot finds the view again
    view._internal_name = f"nw-{VIEW}-v"  # noqa: SLF001
    view._internal_id = _view_id(entity, project)  # noqa: SLF001
    view.save()


def _view_id(entity: str, project: str) -> str:
    from wandb_workspaces.workspaces import internal  # noqa: PLC0415  of the extra

    try:
        return str(internal.get_view_dict(entity, project, VIEW)["id"])
    except ValueError:  # there is none
        return ""


def _save_report(session: WandbSession, place: str, package: Package) -> None:
    """Make the report, or bring the one of that title up to date."""
    from wandb_workspaces.reports import v2  # noqa: PLC0415  of the extra

    entity, project = place.split("/")
    board, title = package.board(), f"{package.project}: runatlas"[:_LONGEST_TITLE]
    every = v2.Runset(
        entity=entity,
        project=project,
        run_settings={
            name: v2.RunSettings(color=colour) for name, colour in _colours(package).items()
        },
    )
    report = v2.Report(
        entity=entity,
        project=project,
        title=title,
        description=f"Snapshot {package.snapshot}",
        blocks=[
            v2.MarkdownBlock(text=board.description),
            v2.PanelGrid(runsets=[every], panels=[_media(package), *_panels(package)]),
        ],
        width="fluid",
    )
    for known in session.api.reports(place):
        if known.display_name == title:
            report.id = known.id
    report.save()


def _panels(package: Package) -> list[Any]:
    from wandb_workspaces.reports import v2  # noqa: PLC0415  of the extra

    board = package.board()
    columns = {column.key: column for column in board.columns}

    def metric(key: str) -> Any:
        return (v2.Config if columns[key].group == "config" else v2.SummaryMetric)(key)

    def layout(at: int) -> Any:
        return v2.Layout(x=12 * (at % 2), y=10 * (1 + at // 2), w=12, h=10)

    scatters = [*_SCATTERS, ("Benchmarks", tuple(board.benchmarks[:3]))]
    drawn = [
        (title, keys)
        for title, keys in scatters
        if len(keys) == 3 and all(key in columns for key in keys)
    ]
    panels = [
        v2.ScatterPlot(
            title=f"{title}: {_named(keys)}",
            x=metric(keys[0]),
            y=metric(keys[1]),
            z=metric(keys[2]),
            layout=layout(at),
        )
        for at, (title, keys) in enumerate(drawn)
    ]
    shown = [key for key in _COORDINATES if key in columns]
    parallel = v2.ParallelCoordinatesPlot(
        title="From settings to results",
        columns=[
            v2.ParallelCoordinatesPlotColumn(
                metric(key), display_name=columns[key].label, log=key == "lr" or None
            )
            for key in shown
        ],
        layout=v2.Layout(x=0, y=10 * (2 + len(panels) // 2), w=24, h=10),
    )
    return [*panels, parallel]


def _named(keys: Sequence[str]) -> str:
    return " × ".join(keys)


def _media(package: Package) -> Any:
    from wandb_workspaces.reports import v2  # noqa: PLC0415  of the extra

    charts = [f"{wandb_media.CHARTS}{chart.key}" for chart in package.board().charts]
    return v2.MediaBrowser(
        title=f"Report and charts of snapshot {package.snapshot}",
        media_keys=[wandb_media.PAGE, *(charts if wandb_media.drawable() else [])],
        num_columns=2,
        layout=v2.Layout(x=0, y=0, w=24, h=10),
    )


def _colours(package: Package) -> dict[str, str]:
    """Return each run's colour by its id on W&B: that of its stage, as on the page."""
    colours = theme.STAGE_COLOURS["light"]
    return {
        run_name(run["id"]): colours[theme.stage_index(run["stage"])]
        for run in package.runs()[:MOST_RUNS]
    }
