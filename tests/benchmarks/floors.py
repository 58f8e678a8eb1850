"""The least that each phase can cost with the same libraries: no checks, no promises, nothing of `reconciler`.

Run as a child process: `python -m tests.benchmarks.floors FLOOR ROOT …` prints its cost as one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import Cost, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CATALOG = "/data/foundation/catalog/batches"
IMPORT = "/data/foundation/import/batches"
PROJECTION = "created,errors,externalId,inputFormat,relatedObjects,replay,status,tags"
HEADERS = {
    "authorization": "Bearer token",
    "x-api-key": "key",
    "x-gw-ims-org-id": "0123456789ABCDEF01234567@AdobeOrg",
    "x-sandbox-name": "bench",
    "accept": "application/json",
}


def parse(arguments: argparse.Namespace) -> list[Cost]:
    """`yaml.load(text, CSafeLoader)` of every manifest, as people call it: with the collector running."""
    import yaml

    costs: list[Cost] = []
    texts = [path.read_text(encoding="utf-8") for path in sorted((arguments.root / "manifests").glob("*.yaml"))]
    with measured("parse and expand", costs):
        loaded = [yaml.load(text, Loader=yaml.CSafeLoader) for text in texts]
    assert loaded
    return costs


def load(arguments: argparse.Namespace) -> list[Cost]:
    """A JSON decode of the state's bytes, line by line."""
    costs: list[Cost] = []
    data = _state(arguments.root).read_bytes()
    with measured("load state", costs):
        records = [json.loads(line) for line in data.splitlines()]
    assert records
    return costs


def plan(arguments: argparse.Namespace) -> list[Cost]:
    """Two dictionaries of dictionaries compared key by key, in order."""
    costs: list[Cost] = []
    lines = _state(arguments.root).read_bytes().splitlines()
    one, other = ({(r := json.loads(line)).get("address", ""): r for line in lines} for _ in range(2))
    with measured("plan", costs):
        different = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
    assert not different
    return costs


def render(arguments: argparse.Namespace) -> list[Cost]:
    """One JSON line a batch, and their digest."""
    costs: list[Cost] = []
    records = [json.loads(line) for line in _state(arguments.root).read_bytes().splitlines()]
    with measured("render creates", costs):
        result = sha256()
        for record in records:
            result.update(json.dumps(record, sort_keys=True).encode())
    assert result.digest()
    return costs


def commit(arguments: argparse.Namespace) -> list[Cost]:
    """The state as JSON lines, written, synced, renamed."""
    costs: list[Cost] = []
    records = [json.loads(line) for line in _state(arguments.root).read_bytes().splitlines()]
    temp = arguments.root / "floor.tmp"
    with measured("commit", costs) as cost:
        data = "\n".join(json.dumps(record) for record in records).encode()
        with temp.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(arguments.root / "floor.jsonl")
        cost.written, cost.fsyncs = len(data), 1
    return costs


def fsyncs(arguments: argparse.Namespace) -> list[Cost]:
    """As many appends with an fsync as the journal made groups, of the same bytes in all."""
    costs: list[Cost] = []
    chunk = b"x" * max(1, arguments.written // max(1, arguments.groups))
    with (arguments.root / "floor.journal").open("ab", buffering=0) as file, measured("fsyncs alone", costs) as cost:
        for _ in range(arguments.groups):
            file.write(chunk)
            os.fsync(file.fileno())
        cost.written, cost.fsyncs = len(chunk) * arguments.groups, arguments.groups
    return costs


def refresh(arguments: argparse.Namespace) -> list[Cost]:
    """A bare httpx loop over the same pages, at the same width."""
    pages = [
        f"{CATALOG}?dataSet={dataset}&limit=100&start={start}&orderBy=asc:created&properties={PROJECTION}"
        for dataset, size in _datasets(arguments.root).items()
        for start in range(0, size + 1, 100)
    ]
    return asyncio.run(_bare("refresh", arguments, [("GET", page, None) for page in pages]))


def apply(arguments: argparse.Namespace) -> list[Cost]:
    """A bare httpx loop that posts the same bodies, at the same width."""
    bodies = [
        json.dumps(
            {
                "datasetId": record["dataset"],
                "inputFormat": {"format": record["spec"].get("format", "parquet")},
                "externalId": record["external_id"],
                "tags": {
                    "reconciler_project": ["benchmark"],
                    "reconciler_environment": ["bench"],
                    "reconciler_address": [record["address"]],
                    **record["spec"].get("tags", {}),
                },
            }
        ).encode()
        for record in _records(arguments.root)[: arguments.most]
    ]
    return asyncio.run(_bare("apply", arguments, [("POST", IMPORT, body) for body in bodies]))


async def _bare(name: str, arguments: argparse.Namespace, requests: list[tuple[str, str, bytes | None]]) -> list[Cost]:
    import httpx

    costs: list[Cost] = []
    waiting = iter(requests)

    async def work(client: httpx.AsyncClient) -> None:
        for method, path, body in waiting:
            headers = {**HEADERS, "content-type": "application/json"} if body else HEADERS
            answer = await client.request(method, arguments.url + path, content=body, headers=headers)
            answer.raise_for_status()
            answer.json()

    async with httpx.AsyncClient(trust_env=False) as client:
        with measured(name, costs) as cost:
            async with asyncio.TaskGroup() as group:
                for _ in range(arguments.parallelism):
                    group.create_task(work(client))
            cost.calls = len(requests)
    return costs


def _state(root: Path) -> Path:
    return root / "state" / "bench.jsonl"


def _records(root: Path) -> list[dict[str, Any]]:
    return [each for line in _state(root).read_bytes().splitlines() if "address" in (each := json.loads(line))]


def _datasets(root: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for record in _records(root):
        sizes[record["dataset"]] = sizes.get(record["dataset"], 0) + 1
    return sizes


FLOORS: dict[str, Callable[[argparse.Namespace], list[Cost]]] = {
    each.__name__: each for each in (parse, load, plan, render, commit, fsyncs, refresh, apply)
}


def main(words: Iterable[str] | None = None) -> None:
    """Measure one floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("floor", choices=FLOORS)
    parser.add_argument("root", type=Path)
    parser.add_argument("--url", default="")
    parser.add_argument("--parallelism", type=int, default=8)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--written", type=int, default=1)
    arguments = parser.parse_args(list(words) if words is not None else None)
    json.dump([cost.to_json() for cost in FLOORS[arguments.floor](arguments)], sys.stdout)


if __name__ == "__main__":
    main()
