"""Golden folders: the logs in ``input`` come to the tables in ``expected``, to the character.

The snapshot id is among them, so it is the same on every machine and with every library version.
``pytest tests/etl/test_golden.py --write-golden`` writes what is found now; read the diff.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from etl import schema

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CASES = sorted(path.name for path in GOLDEN.iterdir())


def tables_of(place, document):
    """Every public table as CSV text, without the columns that name this machine's folders."""
    texts = {"snapshot.txt": document["snapshot"] + "\n"}
    for table, columns in schema.TABLES.items():
        listed = [c for c in columns if c not in ("path", "raw")]
        order = ", ".join(schema.SORT[table])
        rows = place.rows(f"select {', '.join(listed)} from {table} order by {order}")
        lines = [listed, *(["" if v is None else str(v) for v in row] for row in rows)]
        texts[f"{table}.csv"] = "".join(",".join(line) + "\n" for line in lines)
    return texts


@pytest.mark.parametrize("case", CASES)
def test_logs_come_to_the_expected_tables(case, place, request):
    logs = place.logs / "input"
    shutil.copytree(GOLDEN / case / "input", logs)
    done = place.sync(logs)
    found = tables_of(place, done.document)
    expected = GOLDEN / case / "expected"
    if request.config.getoption("--write-golden"):
        expected.mkdir(exist_ok=True)
        for name, text in found.items():
            (expected / name).write_text(text)

    assert found == {path.name: path.read_text() for path in sorted(expected.iterdir())}


@pytest.mark.parametrize("case", CASES)
def test_a_golden_case_read_file_by_file_and_backwards_is_the_same_snapshot(case, place):
    """Order-free through the whole pipeline, with kills, resumes and disagreements in it."""
    logs = place.logs / "input"
    shutil.copytree(GOLDEN / case / "input", logs)
    for path in sorted((path for path in logs.rglob("*") if path.is_file()), reverse=True):
        done = place.sync(path)

    assert (
        done.document["snapshot"]
        == (GOLDEN / case / "expected" / "snapshot.txt").read_text().strip()
    )
