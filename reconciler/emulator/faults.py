"""Faults on demand: which requests meet trouble, and what kind (aep-api.md §11 E6, E7).

A rule is a `Fault`: an effect, the requests that it is for, and how often it strikes. The same rules, seed
and order of requests always give the same faults. Where several strike one request, their delays add up, and
of their other effects the first one happens. The rules are values; `Injector` counts requests for them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence  # noqa: TC003 - dataclass fields are read at run time
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

ANY_METHOD = "*"


class Moment(StrEnum):
    """Whether a fault strikes before the request has its effect or after it."""

    BEFORE = "before"
    AFTER = "after"


class Body(StrEnum):
    """What an error answer contains."""

    JSON = "json"
    HTML = "html"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    """The first half of a JSON text, with a `Content-Length` that fits the half."""


class Loss(StrEnum):
    """How a connection is lost."""

    RESET = "reset"
    """By a TCP reset; httpx says `ReadError`."""
    CLOSE = "close"
    """An orderly end without an answer; httpx says `RemoteProtocolError`."""
    REFUSE = "refuse"
    """It is never made; httpx says `ConnectError`. Only in process: on a socket it is a reset."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Wait so many milliseconds, before the effect or between it and the answer."""

    ms: int
    moment: Moment = Moment.BEFORE


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with this status instead of the right one."""

    status: int
    moment: Moment = Moment.BEFORE
    body: Body = Body.JSON
    retry_after: int | None = None
    """Seconds."""
    as_date: bool = False
    """Write `Retry-After` as an HTTP date."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Lose the connection."""

    moment: Moment = Moment.AFTER
    loss: Loss = Loss.RESET


@dataclass(frozen=True, slots=True)
class Truncate:
    """Send half of the body of a 2xx answer, and then lose the connection or, else, announce only that half."""

    lost: bool = True


@dataclass(frozen=True, slots=True)
class Lag:
    """Let Catalog hide for so many milliseconds what the request creates."""

    ms: int


@dataclass(frozen=True, slots=True)
class ExpireTokens:
    """Answer 401 with 401013, and make every token invalid that was given out so far."""


Effect: TypeAlias = Latency | Answer | Cut | Truncate | Lag | ExpireTokens


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule. At most one of `first`, `nth`, `every`, `chance` is given; without them it always strikes."""

    effect: Effect
    method: str = ANY_METHOD
    path: str = ""
    """A regular expression searched for in `path?query`."""
    first: int | None = None
    """Strikes the first so many matching requests."""
    nth: int | None = None
    """Strikes this matching request alone; the first is 1."""
    every: int | None = None
    """Strikes the matching requests whose number is a multiple of this."""
    chance: float | None = None
    """Strikes with this probability."""

    def matches(self, method: str, target: str) -> bool:
        """Tell whether the rule is for the request."""
        return self.method in {ANY_METHOD, method} and re.search(self.path, target) is not None

    def strikes(self, count: int, draw: float) -> bool:
        """Tell whether it strikes the matching request of this number (from 1), given a draw from [0, 1)."""
        if self.first is not None:
            return count <= self.first
        if self.nth is not None:
            return count == self.nth
        if self.every is not None:
            return count % self.every == 0
        return self.chance is None or draw < self.chance


@dataclass(frozen=True, slots=True)
class Faults:
    """The rules, and the seed that decides about their `chance`."""

    rules: tuple[Fault, ...] = ()
    seed: int = 0


class Injector:
    """Says which rules strike each request. A rule's random numbers do not depend on the other rules."""

    def __init__(self, faults: Faults) -> None:
        self._rules = faults.rules
        self._counts = [0] * len(faults.rules)
        self._chances = [
            random.Random(f"{faults.seed}.{number}")  # noqa: S311 - must be repeatable, need not be secret
            for number in range(len(faults.rules))
        ]

    def strike(self, method: str, target: str) -> Sequence[Effect]:
        """Count the request with the rules that match it; return what strikes, in order."""
        effects = []
        for number, rule in enumerate(self._rules):
            if rule.matches(method, target):
                self._counts[number] += 1
                if rule.strikes(self._counts[number], self._chances[number].random()):
                    effects.append(rule.effect)
        return effects


class ConnectionLost(Exception):
    """The client must lose its connection: `transport` raises its httpx error, `server` ends the real connection."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss)
        self.loss = loss
