"""The emulator on a socket: real connections, real signals, real deaths."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.emulator import (
    Answer,
    Behaviour,
    Cut,
    Effect,
    Emulator,
    Fault,
    Faults,
    FaultsInvalid,
    Latency,
    Loss,
    Moment,
    Truncate,
    World,
    serve,
)
from reconciler.emulator.server import run_server
from tests.emulator import serving
from tests.emulator.api import CATALOG, DATASET, HEADERS, IMPORT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHILD = """
import sys
from pathlib import Path
from reconciler.emulator.server import run_server
run_server(port=0, data=Path(sys.argv[1]), ready=lambda port: print(port, flush=True))
"""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Emulator, httpx.Client]]:
    """An emulator served by a thread, and a client of it."""
    with (
        Emulator(world=World(any_dataset=True)) as emulator,
        serving.served(emulator) as url,
        httpx.Client(base_url=url, headers=HEADERS) as client,
    ):
        yield emulator, client


@contextmanager
def child(data: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """An emulator in a process of its own, and a client of it; killed in the end."""
    command = [sys.executable, "-c", CHILD, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, process.communicate()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=HEADERS) as client:
            yield process, client
        process.kill()


@pytest.mark.parametrize(
    ("effect", "error", "created"),
    [
        (Cut(Moment.BEFORE, Loss.RESET), httpx.ReadError, 0),
        (Cut(Moment.BEFORE, Loss.CLOSE), httpx.RemoteProtocolError, 0),
        (Cut(Moment.BEFORE, Loss.REFUSE), httpx.ReadError, 0),
        (Cut(Moment.AFTER, Loss.RESET), httpx.ReadError, 1),
        (Cut(Moment.AFTER, Loss.CLOSE), httpx.RemoteProtocolError, 1),
        (Truncate(), httpx.RemoteProtocolError, 1),
    ],
)
def test_connections_are_really_lost(
    served: tuple[Emulator, httpx.Client], effect: Effect, error: type[httpx.HTTPError], created: int
) -> None:
    emulator, client = served
    before = len(emulator.batches())
    emulator.inject(Faults((Fault(effect, nth=1),)))
    with pytest.raises(error) as raised:
        client.post(IMPORT, json={"datasetId": DATASET})
    assert type(raised.value) is error
    assert len(emulator.batches()) == before + created
    assert client.post(IMPORT, json={"datasetId": DATASET}).status_code == 201


def test_faults_that_are_answers_keep_the_connection(served: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = served
    emulator.inject(Faults((Fault(Answer(503), nth=1), Fault(Truncate(lost=False), nth=2))))
    assert client.get(CATALOG).status_code == 503
    assert client.get(CATALOG, params={"limit": 1}).status_code == 200
    assert client.get(CATALOG).status_code == 200


def test_an_answer_that_comes_too_late(served: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = served
    before = len(emulator.batches())
    emulator.inject(Faults((Fault(Latency(300, Moment.AFTER), nth=1),)))
    with pytest.raises(httpx.ReadTimeout):
        client.post(IMPORT, json={"datasetId": DATASET}, timeout=0.1)
    assert len(emulator.batches()) == before + 1


def test_answers_do_not_wait_for_nagle(served: tuple[Emulator, httpx.Client]) -> None:
    _, client = served
    client.get(CATALOG, params={"limit": 1})
    took = []
    for _ in range(50):
        started = time.perf_counter()
        client.get(CATALOG, params={"limit": 1})
        took.append(time.perf_counter() - started)
    assert min(took) < 0.04, "each answer waits for a delayed acknowledgement, whatever else the machine does"


def test_the_platforms_hand_over_http(served: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = served
    emulator.inject(Faults())

    def do(operation: str, **arguments: object) -> object:
        response = client.post(f"/_emulator/{operation}", json=arguments)
        assert response.status_code == 200, response.text
        return response.json()

    batch = str(do("add_batch", dataset=DATASET, external_id="theirs", tags={"a": ["b"]}))
    do("set_status", batch=batch, status="stalled")
    do("set_tags", batch=batch, tags={"a": None, "c": ["d"]})
    shown = client.get("/_emulator/batches").json()[batch]
    assert (shown["status"], shown["externalId"], shown["tags"]["c"]) == ("stalled", "theirs", ["d"])
    do("remove", batch=batch)
    assert batch not in emulator.batches()
    before = emulator.now()
    do("advance", milliseconds=3_600_000)
    assert emulator.now() - before >= 3_600_000
    rules = {"rules": [{"fault": "status", "status": 502, "nth": 1}]}
    assert client.put("/_emulator/faults", json=rules).status_code == 200
    assert [client.get(CATALOG).status_code for _ in range(2)] == [502, 200]


def test_the_platforms_hand_refuses_nonsense(served: tuple[Emulator, httpx.Client]) -> None:
    _, client = served
    assert client.post("/_emulator/set_status", json={"batch": "x", "status": "y"}).status_code == 404
    assert client.post("/_emulator/set_status", json={"batch": "x"}).status_code == 400
    assert client.post("/_emulator/set_status", json=[]).status_code == 400
    assert client.post("/_emulator/set_status", content=b"{").status_code == 400
    assert client.post("/_emulator/close", json={}).status_code == 404
    assert client.put("/_emulator/faults", json={"rules": [{"fault": "x"}]}).status_code == 400


def test_the_log_over_http_shows_no_secrets(served: tuple[Emulator, httpx.Client]) -> None:
    _, client = served
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "s3cret", "scope": "openid"}
    token = client.post("/ims/token/v3", data=form).json()["access_token"]
    client.get(CATALOG, headers={"authorization": f"Bearer {token}"})
    log = client.get("/_emulator/requests").text
    assert json.loads(log)[-1]["path"] == CATALOG
    assert "s3cret" not in log
    assert token not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_promptly_and_without_a_word(tmp_path: Path, number: signal.Signals) -> None:
    with child(tmp_path / "e.db") as (process, client):
        assert client.get(CATALOG).status_code == 200
        process.send_signal(number)
        started = time.perf_counter()
        assert process.wait(10) == 0
        assert time.perf_counter() - started < 30
        assert process.communicate() == ("", "")
    assert not (tmp_path / "e.db-wal").exists()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    data, acknowledged = tmp_path / "e.db", list[str]()

    def create_for_ever(client: httpx.Client) -> None:
        while True:
            batch = client.post(IMPORT, json={"datasetId": DATASET}).json()["id"]
            client.put(f"{IMPORT}/{batch}/datasets/{DATASET}/files/a", content=b"x").raise_for_status()
            acknowledged.append(batch)

    with child(data) as (process, client):
        threading.Timer(0.3, process.kill).start()
        with pytest.raises(httpx.TransportError):
            create_for_ever(client)
        process.wait(10)
    assert process.returncode == -signal.SIGKILL
    assert acknowledged
    with Emulator(data, world=World(any_dataset=True)) as again:
        found = list(again.batches())
        assert found[: len(acknowledged)] == acknowledged
        assert len(found) - len(acknowledged) <= 1
        assert all(again.files(batch) == {"a": b"x"} for batch in acknowledged)
        assert again.add_batch(DATASET) > found[-1]


def test_a_taken_port_is_an_error_of_the_caller(served: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = served
    with pytest.raises(OSError, match="in use"):
        serve(emulator, port=int(str(client.base_url).rsplit(":", 1)[1].strip("/")))


def test_bad_faults_are_an_error_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text("{")
    with pytest.raises(FaultsInvalid):
        run_server(port=0, faults=tmp_path / "faults.json", ready=lambda _port: pytest.fail("served"))


def test_a_body_that_breaks_off_leaves_no_file(served: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = served
    batch = client.post(IMPORT, json={"datasetId": DATASET}).json()["id"]
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    url = f"{IMPORT}/{batch}/datasets/{DATASET}/files/a"
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as connection:
        connection.sendall(f"PUT {url} HTTP/1.1\r\nhost: x\r\n{head}content-length: 9\r\n\r\nhalf".encode())
        time.sleep(0.05)
    time.sleep(0.05)
    assert emulator.files(batch) == {}
    assert client.put(url, content=b"whole").status_code == 201


def test_the_switches_are_set_as_json(served: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = served
    body = {"tag_form": "lower", "lagging_looks": ["list", "by-id"], "visibility_lag_ms": 5}
    assert client.put("/_emulator/behaviour", json=body).status_code == 200
    wanted = Behaviour(tag_form="lower", lagging_looks=frozenset(("list", "by-id")), visibility_lag_ms=5)
    assert emulator.behaviour == wanted
    for wrong in ('{"tag_form": "odd"}', '{"no_such": 1}', "[]", '{"step_ms": "soon"}', "no JSON"):
        assert client.put("/_emulator/behaviour", content=wrong).status_code == 400
    assert emulator.behaviour == wanted
    assert client.put("/_emulator/behaviour", json={}).status_code == 200
    assert emulator.behaviour == Behaviour()
