"""What a W&B server keeps of the runs that it was sent, in memory, and the faults it may show."""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def storage_id(*names):
    return base64.b64encode(":".join(names).encode()).decode()


@dataclass
class Run:
    """One run as the server has it; ``history`` holds JSON lines by their ``_step``."""

    entity: str
    project: str
    name: str  # W&B's word for the id
    state: str = "running"
    created_at: str = field(default_factory=now)
    heartbeat_at: str = field(default_factory=now)
    fields: dict = field(default_factory=dict)
    summary: str = "{}"
    history: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)
    output: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    exported: int | None = None  # rows that are in Parquet; None: all once it has finished
    hidden: int = 0  # rows at the end that are counted and not given: a stale replica

    @property
    def key(self):
        return self.entity, self.project, self.name

    @property
    def steps(self):
        """The steps that the server gives when asked for them."""
        steps = sorted(self.history)
        return steps[: len(steps) - self.hidden]

    @property
    def parquet_steps(self):
        live = 0 if self.exported is None and self.state == "running" else self.exported
        return self.steps[:live]

    def beat(self):
        self.heartbeat_at = now()

    def log(self, *rows, **fields):
        """Log rows as a process that streams to the server does, without a client."""
        for row in rows:
            step = max(self.history, default=-1) + 1
            line = {"_step": step, "_timestamp": 1.8e9 + step, "_runtime": step, **row}
            self.history[step] = json.dumps(line)
        self.fields |= fields
        self.beat()
        return self

    def parquet(self):
        """The file to which W&B exports a run's history: a column for each key, nested ones too."""
        rows = [json.loads(self.history[step]) for step in self.parquet_steps]
        keys = list(dict.fromkeys(key for row in rows for key in row))
        columns = {key: _array([row.get(key) for row in rows]) for key in keys}
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
        return buffer.getvalue()


def _array(values):
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # numbers and text under one key
        texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
        return pa.array(texts, pa.string())


class Backend:
    """Every run of a server, and the faults that a test asks it for."""

    def __init__(self):
        self.lock = threading.RLock()
        self.runs = {}
        self.artifacts = {}
        self.views = {}
        self.uploads = {}
        self.rate_limited = 0  # so many answers are 429, Retry-After: 1
        self.failing = 0  # so many answers are 500
        self.refusing = False  # every key: 401
        self.mute = None  # a request whose path or operation is this one is never answered
        self.deadly = None  # the server is gone as soon as this is asked for
        self.lacking = set()  # operations that this server is too old to know
        self.slow_sec = 0.0  # before each Parquet file

    def run(self, project, name, entity="team", **fields):
        """Return a run, made if it is not there."""
        key = entity, project, name
        with self.lock:
            if key not in self.runs:
                self.runs[key] = Run(entity, project, name)
            self.runs[key].fields |= {k: v for k, v in fields.items() if v is not None}
            return self.runs[key]

    def of(self, entity, project):
        return [run for run in self.runs.values() if run.key[:2] == (entity, project)]

    def stream(self, key, body):
        """Take one message of the stream in which a client sends a run's rows."""
        run = self.run(key[1], key[2], key[0])
        for name, content in (body.get("files") or {}).items():
            begin, lines = content.get("offset", 0), content["content"]
            if name == "wandb-history.jsonl":
                run.history |= {int(json.loads(line)["_step"]): line for line in lines}
            elif name == "wandb-events.jsonl":
                run.events |= dict(enumerate(lines, begin))
            elif name == "output.log":
                run.output |= dict(enumerate(lines, begin))
                text = "\n".join(run.output[at] for at in sorted(run.output)) + "\n"
                run.files["output.log"] = text.encode()
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        if body.get("complete") is not None:
            run.state = "finished" if body.get("exitcode", 0) == 0 else "failed"
        run.beat()
