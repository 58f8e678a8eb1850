"""What the emulator remembers: restarts, indexes, and how long opening takes."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from reconciler.emulator import Behaviour, Emulator
from reconciler.emulator.query import by_ids, read_query
from reconciler.emulator.schema import connect
from reconciler.emulator.search import statement
from tests.emulator.api import CATALOG, DATASET, Api

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.emulator.query import Query


def test_everything_survives_a_restart(make_api: Callable[..., Api], tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    first = make_api(path=path)
    form = {"grant_type": "client_credentials", "client_id": "acme_client", "scope": "openid"}
    token = first.send("POST", "/ims/token/v3", data=form).json()["access_token"]
    batch = first.create(tags={"own": ["1"]})
    first.put(batch, content=b"data")
    first.act(batch, "COMPLETE")
    first.emulator.add_dataset("added", sandbox="dev")
    first.emulator.advance(150)
    now = first.emulator.now()
    first.emulator.close()

    second = make_api(path=path)
    assert second.emulator.now() == now
    assert second.status(batch) == "staging"
    assert second.emulator.files(batch) == {"a.json": b"data"}
    assert second.found(tags="own:1") == [batch]
    assert second.create("added") > batch
    answer = second.send("GET", CATALOG, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    second.emulator.advance(150)
    assert second.status(batch) == "success"


def test_opening_and_closing_is_quick(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with Emulator(path) as emulator:
        for number in range(500):
            emulator.add_batch(DATASET, external_id=str(number))
    started = time.perf_counter()
    for _ in range(10):
        Emulator(path).close()
    assert (time.perf_counter() - started) / 10 < 2  # 0.02 on a quiet machine, minutes if it read them all


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    connection = connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ValueError, match="format 99, not 1"):
        Emulator(path)


def test_closing_twice_is_harmless_and_leaves_no_temporary_files(
    make_api: Callable[..., Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    api = make_api()
    api.put(api.create())
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
    api.emulator.close()
    api.emulator.close()
    assert not list(tmp_path.iterdir())


def plan(query: str) -> list[str]:
    """Return how SQLite goes about a query string: index and the columns that it is searched by."""
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
    return plan_of(read_query(pairs, unknown_is_property=False))


def plan_of(query: Query) -> list[str]:
    made = statement(query, 1)
    connection = connect(None)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {made.sql}", made.parameters).fetchall()
    connection.close()
    return [str(row[3]) for row in rows]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("externalId=a,b,c", "SEARCH b USING INDEX batch_by_external_id (external_id=?)"),
        ("externalId=a&tags=p:x&dataSet=d", "SEARCH b USING INDEX batch_by_external_id (external_id=?)"),
        ("batch=x", "SEARCH b USING INDEX batch_by_id (id=?)"),
        ("dataSet=d", "SEARCH b USING COVERING INDEX batch_by_dataset (scope=? AND dataset=?)"),
        ("dataSet=d&orderBy=desc:created", "SEARCH b USING COVERING INDEX batch_by_dataset (scope=? AND dataset=?)"),
        (
            "dataSet=d&createdAfter=5",
            "SEARCH b USING COVERING INDEX batch_by_dataset (scope=? AND dataset=? AND created>?)",
        ),
        (
            "dataSet=d&tags=p:x",
            "SEARCH b USING COVERING INDEX tag_by_value (scope=? AND name=? AND value=? AND dataset=?)",
        ),
        (
            "dataSet=d&tags=p:x,q:y,r:*&createdAfter=5",
            "SEARCH b USING COVERING INDEX tag_by_value (scope=? AND name=? AND value=? AND dataset=? AND created>?)",
        ),
        (
            "dataSet=d&tags=p:x&status=loading",
            "SEARCH tags USING COVERING INDEX tag_by_value (scope=? AND name=? AND value=? AND dataset=?)",
        ),
        ("tags=p:x", "SEARCH b USING COVERING INDEX tag_by_value (scope=? AND name=? AND value=?)"),
        (
            "dataSet=d&status=loading",
            "SEARCH b USING COVERING INDEX batch_by_status (scope=? AND dataset=? AND status=?)",
        ),
        ("dataSet=d&property=replay", "SEARCH b USING INDEX batch_by_replay (scope=? AND dataset=?)"),
        ("limit=1", "SEARCH b USING COVERING INDEX batch_by_scope (scope=?)"),
    ],
)
def test_queries_walk_an_index_and_never_a_table(query: str, first: str) -> None:
    steps = plan(query)
    assert steps[0] == first
    assert not [step for step in steps if step.startswith("SCAN")]


@pytest.mark.parametrize("query", ["dataSet=d", "dataSet=d&tags=p:x", "dataSet=d&tags=p:x&status=loading"])
def test_pages_in_order_of_age_need_no_sorting(query: str) -> None:
    assert not [step for step in plan(query) if "TEMP B-TREE" in step]


def test_several_ids_are_looked_up_one_by_one() -> None:
    assert plan_of(by_ids(["a", "b"]))[0] == "SEARCH b USING INDEX batch_by_id (id=?)"


def test_tags_that_change_are_found_anew(api: Api) -> None:
    batch = api.create(tags={"own": ["1", "1"]})
    api.emulator.set_tags(batch, {"own": ["2"], "more": ["x"]})
    assert (api.found(tags="own:1"), api.found(tags="own:2,more:x")) == ([], [batch])


def test_what_fails_in_the_middle_leaves_nothing(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour())
    store = api.emulator._lake.store

    def fail() -> None:
        with store.transaction():
            store.add_dataset("dev", "half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.datasets("dev") == frozenset()
