"""The emulator's tests talk to it through `Api`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.emulator.api import Api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def make_api() -> Iterator[Callable[..., Api]]:
    """Return a maker of callers, each with an emulator of its own; all are closed in the end."""
    made: list[Api] = []

    def make(**options: Any) -> Api:
        made.append(Api(**options))
        return made[-1]

    yield make
    for api in made:
        api.close()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """Return a caller of an emulator with every default."""
    return make_api()
