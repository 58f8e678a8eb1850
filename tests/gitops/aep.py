"""AEP as the story sees it: the emulator on a socket, and what another hand could see and do there."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from reconciler.emulator import Emulator, World
from reconciler.emulator.faults import Fault, Faults, Latency
from tests.emulator.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.emulator import Behaviour

ORG = "0123456789ABCDEF01234567@AdobeOrg"


@dataclass(frozen=True)
class Aep:
    """The emulated organisation."""

    url: str

    def batches(self, sandbox: str) -> dict[str, list[str]]:
        """The ids of a sandbox's batches by the address in their tags; aborted ones do not count."""
        answer = self._ask("GET", "/data/foundation/catalog/batches?limit=100", sandbox)
        found: dict[str, list[str]] = {}
        for batch_id, batch in sorted(answer.items()):
            if batch["status"] != "aborted":
                (address,) = batch["tags"]["reconciler_address"]
                found.setdefault(address, []).append(batch_id)
        return found

    def abort(self, sandbox: str, batch_id: str) -> None:
        """What a colleague does by hand."""
        self._ask("POST", f"/data/foundation/import/batches/{batch_id}?action=ABORT", sandbox)

    def _ask(self, method: str, path: str, sandbox: str) -> dict[str, Any]:
        headers = {
            "Authorization": "Bearer by-another-hand",
            "x-api-key": "someone",
            "x-gw-ims-org-id": ORG,
            "x-sandbox-name": sandbox,
        }
        answer = httpx.request(method, self.url + path, headers=headers, trust_env=False)
        assert answer.status_code < 300, answer.text
        read: dict[str, Any] = answer.json() if answer.content else {}
        return read


@contextmanager
def emulator(place: Path, behaviour: Behaviour | None = None, faults: Faults | None = None) -> Iterator[Aep]:
    """An emulated organisation that keeps its data in a folder and lasts until the block ends."""
    world = World(any_dataset=True)
    with (
        Emulator(place / "aep.sqlite", world=world, behaviour=behaviour, faults=faults) as emulated,
        served(emulated) as url,
    ):
        yield Aep(url)


@contextmanager
def hanging_at_the_fifth(place: Path) -> Iterator[Aep]:
    """An organisation that does not answer the fifth create for a minute, and does not do it either."""
    fault = Fault(Latency(60_000), method="POST", path="/import/batches$", nth=5)
    with emulator(place, faults=Faults((fault,))) as aep:
        yield aep


def settings_for(aep: Aep) -> dict[str, str]:
    """What a machine's environment says, so that reconciler talks to this AEP and does not wait long for it."""
    return {"AEP_API_URL": aep.url, "AEP_IMS_URL": aep.url, "RECONCILER_SETTLE_TIMEOUT": "0.2"}
