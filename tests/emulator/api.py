"""A synchronous caller of the emulator, so that its tests read like a conversation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

from reconciler.emulator import Emulator, World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.emulator import Behaviour, Faults

ORG = "0123456789ABCDEF01234567@AdobeOrg"
DATASET = "5c8c3c555033b814b69f947f"
OTHER_DATASET = "61a0c3c555033b814b69f9400"
IMPORT = "/data/foundation/import/batches"
CATALOG = "/data/foundation/catalog/batches"
HEADERS = {
    "authorization": "Bearer any",
    "x-api-key": "acme_client",
    "x-gw-ims-org-id": ORG,
    "x-sandbox-name": "dev",
}
T0 = 1_718_000_000_000
"""When the tests begin."""
WORLD = World(datasets=frozenset({DATASET, OTHER_DATASET}))


class Api:
    """An emulator whose clock stands still, and one client of it. What it sends is what a caller of AEP sends."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        behaviour: Behaviour | None = None,
        world: World = WORLD,
        faults: Faults | None = None,
    ) -> None:
        self.emulator = Emulator(path, world=world, behaviour=behaviour, faults=faults, clock=lambda: T0)
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            transport=self.emulator.transport(), base_url="https://platform.adobe.io", headers=HEADERS
        )

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()
        self.emulator.close()

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, url, **options))

    def get(self, url: str, **parameters: str | int) -> httpx.Response:
        return self.send("GET", url, params=parameters or None)

    def post(self, url: str, body: object) -> httpx.Response:
        return self.send("POST", url, json=body)

    def raw(self, method: str, url: str, headers: Mapping[str, str]) -> httpx.Response:
        """Send these headers only."""
        request = httpx.Request(method, f"https://platform.adobe.io{url}", headers=headers)
        return self._runner.run(self._client.send(request))

    def create(self, dataset: str = DATASET, **fields: object) -> str:
        """Create a batch and return its id."""
        response = self.post(IMPORT, {"datasetId": dataset, **fields})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def act(self, batch: str, action: str) -> httpx.Response:
        return self.send("POST", f"{IMPORT}/{batch}", params={"action": action})

    def batch(self, batch: str) -> dict[str, Any]:
        """Return the batch as Catalog shows it."""
        response = self.get(f"{CATALOG}/{batch}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()[batch]
        return found

    def status(self, batch: str) -> str:
        return str(self.batch(batch)["status"])

    def found(self, **parameters: str | int) -> list[str]:
        """List batches and return their ids."""
        response = self.get(CATALOG, **parameters)
        assert response.status_code == 200, response.text
        return list(response.json())

    def file(self, batch: str, path: str = "a.json", dataset: str = DATASET) -> str:
        """Return the URL of a batch's file."""
        return f"{IMPORT}/{batch}/datasets/{dataset}/files/{path}"

    def put(self, batch: str, path: str = "a.json", content: bytes = b'{"a": 1}\n') -> httpx.Response:
        return self.send("PUT", self.file(batch, path), content=content)

    def done(self, **fields: Any) -> str:
        """Create a batch with a file, complete it, wait for its end, and return its id."""
        batch = self.create(**fields)
        self.put(batch)
        assert self.act(batch, "COMPLETE").status_code == 200
        self.emulator.advance(10_000)
        return batch
