"""What every crash test starts from: a fault server without faults, and an empty checkout that talks to it.

`RECONCILER_CRASH_SEED` draws other faults than everyday's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.aep.server import Aep
from tests.crash.checkout import Checkout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def aep() -> Iterator[Aep]:
    with Aep(seed=int(os.environ.get("RECONCILER_CRASH_SEED", "3"))) as running:
        yield running


@pytest.fixture
def checkout(tmp_path: Path, aep: Aep) -> Checkout:
    return Checkout(tmp_path, aep)
