"""The cyclic garbage collector, paused: what manifests, states and plans are made of has no cycles to find.

Building a million of such values takes up to three times as long while it looks for them. It is paused for work that
ends by itself, never for a whole run.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector for the block; where it was paused already, it stays so."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
