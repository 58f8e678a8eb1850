"""Opens AEP for what was declared: the real service, or the embedded emulator where the environment says so."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from reconciler.operations import Connect, Declared
    from reconciler.ports import Platform
