"""A real Weave trace server on the loopback: W&B's own classes on a file, behind FastAPI.

    .venv-trace/bin/python tests/trace_server/serve.py --path FILE --port PORT [--without labels]
    .venv-clickhouse/bin/python tests/trace_server/serve.py --path FOLDER --port PORT --clickhouse

It also answers the three GraphQL questions that the Weave client asks of a W&B server. Runs in a
virtual environment of its own: sqlite.txt or clickhouse.txt.
"""

# ruff: noqa: E402  what the wheel leaves out has to be stood in for before it is imported

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import types

os.environ["WANDB_ERROR_REPORTING"] = "false"
os.environ["DD_TRACE_ENABLED"] = "false"  # the server's own tracing, which looks for an agent
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"  # else it asks the internet for prices

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError

USER = "local"


def absent(name, **content):
    """Stand in for a module of the hosted service that the wheel leaves out and never calls."""
    module = types.ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module


absent(
    "weave.trace_server.model_providers.model_providers",
    VERTEX_PROVIDER_NAMES=frozenset(),
    LLMModelProviderInfo=dict,
    read_model_to_provider_info_map=lambda *_a, **_k: {},
)
absent(
    "weave.trace_server.workers.evaluate_model_worker.evaluate_model_worker",
    EvaluateModelDispatcher=object,
    EvaluateModelArgs=dict,
)

from weave.trace_server import errors
from weave.trace_server import trace_server_interface as tsi
from weave.trace_server.external_to_internal_trace_server_adapter import (
    ExternalTraceServer,
    IdConverter,
)

# path -> method of the server, its request, and whether it streams
POSTS = {
    "/call/start": ("call_start", "CallStartReq"),
    "/call/end": ("call_end", "CallEndReq"),
    "/call/read": ("call_read", "CallReadReq"),
    "/call/update": ("call_update", "CallUpdateReq"),
    "/calls/delete": ("calls_delete", "CallsDeleteReq"),
    "/calls/query_stats": ("calls_query_stats", "CallsQueryStatsReq"),
    "/calls/stream_query": ("calls_query_stream", "CallsQueryReq"),
    "/obj/create": ("obj_create", "ObjCreateReq"),
    "/obj/read": ("obj_read", "ObjReadReq"),
    "/obj/delete": ("obj_delete", "ObjDeleteReq"),
    "/objs/query": ("objs_query", "ObjQueryReq"),
    "/table/create": ("table_create", "TableCreateReq"),
    "/table/create_from_digests": ("table_create_from_digests", "TableCreateFromDigestsReq"),
    "/table/update": ("table_update", "TableUpdateReq"),
    "/table/query": ("table_query", "TableQueryReq"),
    "/table/query_stats": ("table_query_stats", "TableQueryStatsReq"),
    "/refs/read_batch": ("refs_read_batch", "RefsReadBatchReq"),
    "/feedback/create": ("feedback_create", "FeedbackCreateReq"),
    "/feedback/query": ("feedback_query", "FeedbackQueryReq"),
}


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def decoded(text):
    return base64.b64decode(text.encode()).decode()


class Ids(IdConverter):
    """Ids inside are base64 of those outside, as in Weave's own tests."""

    def ext_to_int_project_id(self, project):
        return encoded(project)

    def int_to_ext_project_id(self, project):
        try:
            return decoded(project)
        except ValueError:
            return None

    def ext_to_int_run_id(self, run):
        return f"{encoded(run)}:{run}"

    def int_to_ext_run_id(self, run):
        return run.split(":", 1)[1]

    def ext_to_int_user_id(self, user):
        return encoded(user)

    def int_to_ext_user_id(self, user):
        return decoded(user)


def read(model, body):
    """Return the request; fields that this older server does not know are dropped."""
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as problem:
        document = json.loads(body)
        strange = [e["loc"] for e in problem.errors() if e["type"] == "extra_forbidden"]
        for *place, last in strange:
            holder = document
            for key in place:
                holder = holder[key]
            holder.pop(last, None)
        return model.model_validate(document)


def signed(request):
    """Put the user into *request*, as the gate of the hosted service does."""
    for holder in (request, getattr(request, "obj", None), getattr(request, "start", None)):
        if hasattr(holder, "wb_user_id"):
            holder.wb_user_id = USER
    return request


def answer(result):
    return Response(result.model_dump_json(by_alias=True), media_type="application/json")


def application(server, without):
    """Return the app; *without* names groups of routes that an older server does not have."""
    app = FastAPI()

    @app.exception_handler(errors.NotFoundError)
    @app.exception_handler(errors.ObjectDeletedError)
    def not_found(_request, problem):
        return JSONResponse({"reason": str(problem)}, 404)

    @app.exception_handler(Exception)
    def refused(_request, problem):
        return JSONResponse({"reason": f"{type(problem).__name__}: {problem}"}, 500)

    for path, (method, model) in POSTS.items():
        app.post(path)(handler(getattr(server, method), getattr(tsi, model)))
    add_calls(app, server)
    add_files(app, server)
    if "labels" not in without:
        add_labels(app, server)
    add_base(app)
    return app


def handler(method, model):
    async def handle(request: Request):
        result = method(signed(read(model, await request.body())))
        if hasattr(result, "model_dump_json"):
            return answer(result)
        lines = (row.model_dump_json(by_alias=True) + "\n" for row in result)
        return StreamingResponse(lines, media_type="application/jsonl")

    return handle


def add_calls(app, server):
    @app.post("/v2/{entity}/{project}/calls/complete")
    async def complete(entity: str, project: str, request: Request):
        body = await request.json()
        for item in body["batch"]:
            item["wb_user_id"] = USER
        known = tsi.CallsUpsertCompleteReq.model_fields
        more = {"project_id": f"{entity}/{project}"} if "project_id" in known else {}
        return answer(
            server.calls_complete(tsi.CallsUpsertCompleteReq(batch=body["batch"], **more))
        )

    @app.post("/v2/{entity}/{project}/call/start")
    async def start(request: Request):
        body = await request.json()
        body["start"]["wb_user_id"] = USER
        return answer(server.call_start_v2(tsi.CallStartV2Req(**body)))

    @app.post("/v2/{entity}/{project}/call/end")
    async def end(request: Request):
        return answer(server.call_end_v2(tsi.CallEndV2Req(**await request.json())))


def add_files(app, server):
    async def create(request: Request):
        form = await request.form()
        file, more = form["file"], {}
        if "expected_digest" in tsi.FileCreateReq.model_fields:
            more["expected_digest"] = form.get("expected_digest")
        content = await file.read()
        asked = tsi.FileCreateReq(
            project_id=form["project_id"], name=file.filename, content=content, **more
        )
        return answer(server.file_create(asked))

    async def content(request: Request):
        found = server.file_content_read(tsi.FileContentReadReq(**await request.json()))
        return Response(found.content, media_type="application/octet-stream")

    for prefix in ("/file", "/files"):
        app.post(f"{prefix}/create")(create)
        app.post(f"{prefix}/content")(content)


def add_labels(app, server):
    @app.api_route("/objs/{name}/versions/{digest}/tags", methods=["PUT", "POST"])
    async def tag(name: str, digest: str, request: Request):
        body = await request.json()
        asked = tsi.ObjAddTagsReq(object_id=name, digest=digest, wb_user_id=USER, **body)
        return answer(server.obj_add_tags(asked))

    @app.api_route("/objs/{name}/aliases", methods=["PUT", "POST"])
    async def alias(name: str, request: Request):
        body = await request.json()
        asked = tsi.ObjSetAliasesReq(object_id=name, wb_user_id=USER, **body)
        return answer(server.obj_set_aliases(asked))


def add_base(app):
    projects = set()

    @app.get("/server_info")
    def info():
        return {"min_required_weave_python_version": "0.0.1", "trace_server_version": None}

    @app.get("/")
    def page():
        return "a W&B server"

    @app.post("/graphql")
    async def graphql(request: Request):
        body = await request.json()
        query, values = body["query"], body.get("variables") or {}
        if "UpsertModel" in query:
            projects.add((values["entity"], values["name"]))
            model = {"name": values["name"], "description": None}
            return {"data": {"upsertModel": {"model": model}}}
        if "query Project" in query:
            known = (values["entityName"], values["name"]) in projects
            return {"data": {"project": {"name": values["name"]} if known else None}}
        viewer = {"username": USER, "defaultEntity": {"name": USER}}
        return {"data": {"viewer": viewer}}


def on_sqlite(path):
    from weave.trace_server.sqlite_trace_server import SqliteTraceServer

    server = SqliteTraceServer(path)
    server.setup_tables()
    return server


def on_clickhouse(path):
    """ClickHouse as a library of this process (chDB), with the server's own migrations."""
    import clickhouse_connect
    import sqlparse.engine.grouping as parser
    from weave.trace_server.clickhouse_trace_server_batched import ClickHouseTraceServer

    # one of the migrations is longer than what sqlparse takes from strangers
    parser.MAX_GROUPING_TOKENS = parser.MAX_GROUPING_DEPTH = None

    class Embedded(ClickHouseTraceServer):
        def _mint_client(self, *_arguments, **_options):
            client = clickhouse_connect.get_client(interface="chdb", path=path)
            self._ensure_database(client)
            client.database = self._database
            return client

    server = Embedded(host="chdb", database="weave", use_async_insert=False)
    server._run_migrations()
    return server


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", required=True, help="where it keeps what it is told")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--without", nargs="*", default=(), help="labels: tags and aliases")
    parser.add_argument("--clickhouse", action="store_true", help="instead of SQLite")
    options = parser.parse_args()
    inner = (on_clickhouse if options.clickhouse else on_sqlite)(options.path)
    app = application(ExternalTraceServer(inner, Ids()), options.without)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
