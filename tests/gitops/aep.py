"""AEP as the story sees it: the emulator in a process of its own, and what another hand could see and do there."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.gitops.runner import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
def emulator(place: Path) -> Iterator[Aep]:
    """Run `reconciler emulator` on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "emulator", "--port", "0", "--data", str(place / "aep.sqlite")],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("AEP_API_URL=")
        assert url.startswith("http://127.0.0.1:"), url
        yield Aep(url)
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()
