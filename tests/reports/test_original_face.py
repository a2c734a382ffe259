"""The original visualiser's functions: what they return, and what they do not do at import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest

from etl.errors import NoDataError
from reports import weave_training_visualizer as face

ROOT = Path(__file__).resolve().parent.parent.parent
PLOTS = ("trajectory_3d", "hyperparameter_space", "performance_landscape", "multi_metric_3d")


def test_importing_it_neither_loads_weave_nor_touches_the_network():
    """Nor a login prompt: stdin is closed, every socket is an error."""
    code = (
        "import sys\n"
        "def hook(event, arguments):\n"
        "    assert not event.startswith('socket.'), event\n"
        "sys.addaudithook(hook)\n"
        "from reports.weave_training_visualizer import create_complete_visualization_app\n"
        "assert not {'weave', 'wandb', 'plotly'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=True, capture_output=True)


def test_the_app_is_the_four_plots_by_their_names(mini):
    """Each is a figure that plotly itself accepts, drawn with the snapshot's values."""
    app = face.create_complete_visualization_app("mini", str(mini.data))

    assert tuple(app) == PLOTS
    for figure in app.values():
        assert go.Figure(figure).data
    trajectory = go.Figure(face.create_3d_trajectory_plot("mini", str(mini.data)))
    assert any(len(trace.x or ()) > 100 for trace in trajectory.data)


def test_their_names_and_first_argument_are_the_original_s():
    """A program written for it finds them."""
    for name in (
        "create_3d_trajectory_plot",
        "create_hyperparameter_space_plot",
        "create_performance_landscape_plot",
        "create_multi_metric_3d_plot",
        "create_complete_visualization_app",
    ):
        first = next(iter(inspect.signature(getattr(face, name)).parameters.values()))
        assert (first.name, first.default) == ("project_name", "nanochat")


def test_a_project_without_a_snapshot_says_what_to_run(tmp_path):
    """And not that an app was created."""
    with pytest.raises(NoDataError, match=r"python -m etl\.sync --project nanochat"):
        face.create_complete_visualization_app(data=str(tmp_path))
