"""A local AEP API, for the quick start and the tests. It imports nothing else of `reconciler`.

In process, without a socket::

    with Emulator(world=World(any_dataset=True)) as emulator:
        async with httpx.AsyncClient(transport=emulator.transport(), headers={…}) as client:
            url = "https://platform.adobe.io/data/foundation/import/batches"
            await client.post(url, json={"datasetId": "5c8c3c555033b814b69f947f"})
        assert len(emulator.batches()) == 1

That transport serves any host, and the token endpoint `/ims/token/v3` too. By default any client, secret,
token, organisation and sandbox is accepted, but only the datasets of the `World` exist. `Emulator(path)` keeps
its data in a file that survives a kill. `faults` describes the faults that can be injected, and `faultfile` how
to write them in a file::

    emulator.inject(Faults((Fault(Cut(), method="POST", path="/import/batches$", nth=1),)))

On a socket: `serve(emulator, port=0, ready=print)`; it then also offers the operations of `admin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.emulator.behaviour import (
    Behaviour,
    Outcome,
)
from reconciler.emulator.faultfile import FaultsInvalid, load_faults, parse_faults
from reconciler.emulator.faults import (
    Answer,
    Body,
    Cut,
    Effect,
    ExpireTokens,
    Fault,
    Faults,
    Lag,
    Latency,
    Loss,
    Moment,
    Truncate,
)
from reconciler.emulator.world import World

if TYPE_CHECKING:
    from reconciler.emulator.emulator import Emulator
    from reconciler.emulator.server import serve
    from reconciler.emulator.transport import EmulatorTransport

__all__ = [
    "Answer",
    "Behaviour",
    "Body",
    "Cut",
    "Effect",
    "Emulator",
    "EmulatorTransport",
    "ExpireTokens",
    "Fault",
    "Faults",
    "FaultsInvalid",
    "Lag",
    "Latency",
    "Loss",
    "Moment",
    "Outcome",
    "Truncate",
    "World",
    "load_faults",
    "parse_faults",
    "serve",
]


def __getattr__(name: str) -> object:
    """Import what needs Starlette and httpx only when it is used: the values above need neither."""
    if name == "Emulator":
        from reconciler.emulator.emulator import Emulator  # noqa: PLC0415 - see above

        return Emulator
    if name == "EmulatorTransport":
        from reconciler.emulator.transport import EmulatorTransport  # noqa: PLC0415 - see above

        return EmulatorTransport
    if name == "serve":
        from reconciler.emulator.server import serve  # noqa: PLC0415 - see above

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
