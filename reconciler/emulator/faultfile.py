"""Faults from a JSON file, for the command line. Pure but for `load_faults`.

The file holds a seed (0 if left out) and rules. Each rule names its fault, the requests that it is for, how
often it strikes (one of `first`, `nth`, `every`, `chance`, or none of them: always) and details of the fault::

    {"seed": 7, "rules": [
      {"fault": "cut", "method": "POST", "path": "/import/batches$", "nth": 3, "when": "after"},
      {"fault": "status", "status": 503, "path": "/catalog/", "first": 2, "body": "html"},
      {"fault": "quota", "path": "/import/batches$", "every": 50, "retry_after": 2},
      {"fault": "latency", "ms": 40, "chance": 0.1}
    ]}

If left out, `method` and `path` match everything; `path` is a regular expression searched for in `path?query`.
The faults and their details, with their defaults in brackets:

- `latency`: `ms`; `when`: `before` the effect or `after` it (`before`)
- `status`: `status`; `when` (`before`); `body`: `json`, `html`, `empty` or `truncated` (`json`);
  `retry_after`: seconds, written as an HTTP date with `as_date`
- `quota`: a 429; `body`, `retry_after`, `as_date`
- `cut`: `when` (`after`); `how`: `reset`, `close` or `refuse` (`reset`)
- `truncate`: half of a 2xx body; `lost`: whether the connection is lost too (true)
- `lag`: for how many `ms` Catalog hides what the request creates
- `expire_tokens`: a 401 with 401013, and every token given out so far is invalid

Some that are worth having at hand: Catalog shows a batch once less than it should, and COMPLETE is answered in vain::

    {"fault": "status", "status": 404, "method": "GET", "path": "/catalog/batches/[^?]+$", "nth": 1}
    {"fault": "status", "status": 200, "method": "POST", "path": "action=COMPLETE", "first": 1, "body": "empty"}
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.emulator.faults import (
    ANY_METHOD,
    Answer,
    Body,
    Cut,
    ExpireTokens,
    Fault,
    Faults,
    Lag,
    Latency,
    Loss,
    Moment,
    Truncate,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from reconciler.emulator.faults import Effect

Choice = TypeVar("Choice", bound=StrEnum)

LARGEST: Final = 1_000_000
"""Bytes of a file of faults."""

TRIGGERS: Final = ("first", "nth", "every", "chance")
COMMON: Final = frozenset({"fault", "method", "path", *TRIGGERS})
TOO_MANY_REQUESTS: Final = 429


class FaultsInvalid(ValueError):
    """The faults cannot be read; says which rule, why, and what to write instead."""


def load_faults(path: Path) -> Faults:
    """Read the file. Raises `FaultsInvalid`, OSError."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:  # a pipe has no end
            raise FaultsInvalid(f"`{path}` is no file of at most {LARGEST} bytes")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FaultsInvalid(f"`{path}` is no UTF-8 text: write the rules as JSON") from error
    return parse_faults(text)


def parse_faults(text: str) -> Faults:
    """Read the text of such a file. Raises `FaultsInvalid`."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FaultsInvalid(f"the faults are no JSON: {error}") from error
    return read_faults(value)


def read_faults(value: object) -> Faults:
    """Read the JSON value of such a file. Raises `FaultsInvalid`."""
    if not isinstance(value, dict) or not set(value) <= {"seed", "rules"}:
        raise FaultsInvalid('the faults must look like {"seed": 0, "rules": […]}')
    rules = value.get("rules", [])
    if not isinstance(rules, list):
        raise FaultsInvalid("`rules` must be a list of rules")
    seed = _Rule(value, "the faults").integer("seed", default=0)
    return Faults(tuple(_fault(rule, number) for number, rule in enumerate(rules, 1)), seed)


class _Rule:
    """The fields of one rule; each error names the rule."""

    def __init__(self, fields: Mapping[str, object], name: str) -> None:
        self.fields = fields
        self.name = name

    def error(self, complaint: str) -> FaultsInvalid:
        return FaultsInvalid(f"{self.name}: {complaint}")

    def string(self, field: str, default: str) -> str:
        value = self.fields.get(field, default)
        if not isinstance(value, str):
            raise self.error(f"`{field}` must be a string")
        return value

    def choice(self, field: str, default: Choice) -> Choice:
        kind = type(default)
        value = self.fields.get(field, default)
        if not isinstance(value, str) or value not in set(kind):
            raise self.error(f"`{field}` must be one of {', '.join(f'`{word}`' for word in kind)}")
        return kind(value)

    def flag(self, field: str, *, default: bool) -> bool:
        value = self.fields.get(field, default)
        if not isinstance(value, bool):
            raise self.error(f"`{field}` must be true or false")
        return value

    def optional_integer(self, field: str, *, low: int = 0, high: int = 10**12) -> int | None:
        value = self.fields.get(field)
        if value is not None and (type(value) is not int or not low <= value <= high):
            raise self.error(f"`{field}` must be a whole number from {low} to {high}")
        return value if isinstance(value, int) else None

    def integer(self, field: str, *, default: int | None = None, low: int = 0, high: int = 10**12) -> int:
        value = self.optional_integer(field, low=low, high=high)
        if value is None and default is None:
            raise self.error(f"`{field}` is missing: give a whole number from {low} to {high}")
        return value if value is not None else default or 0

    def chance(self) -> float | None:
        value = self.fields.get("chance")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self.error("`chance` must be a number from 0 to 1")
        return float(value)


def _latency(rule: _Rule) -> Effect:
    return Latency(rule.integer("ms"), rule.choice("when", Moment.BEFORE))


def _status(rule: _Rule) -> Effect:
    return _answer(rule, rule.integer("status", low=200, high=599), rule.choice("when", Moment.BEFORE))


def _quota(rule: _Rule) -> Effect:
    return _answer(rule, TOO_MANY_REQUESTS, Moment.BEFORE)


def _answer(rule: _Rule, status: int, moment: Moment) -> Effect:
    return Answer(
        status,
        moment,
        rule.choice("body", Body.JSON),
        rule.optional_integer("retry_after"),
        rule.flag("as_date", default=False),
    )


def _cut(rule: _Rule) -> Effect:
    cut = Cut(rule.choice("when", Moment.AFTER), rule.choice("how", Loss.RESET))
    if cut.loss is Loss.REFUSE and cut.moment is Moment.AFTER:
        raise rule.error('a refused connection has no effect: write `"when": "before"`')
    return cut


READERS: Final[Mapping[str, tuple[Callable[[_Rule], Effect], frozenset[str]]]] = {
    "latency": (_latency, frozenset({"ms", "when"})),
    "status": (_status, frozenset({"status", "when", "body", "retry_after", "as_date"})),
    "quota": (_quota, frozenset({"body", "retry_after", "as_date"})),
    "cut": (_cut, frozenset({"when", "how"})),
    "truncate": (lambda rule: Truncate(lost=rule.flag("lost", default=True)), frozenset({"lost"})),
    "lag": (lambda rule: Lag(rule.integer("ms")), frozenset({"ms"})),
    "expire_tokens": (lambda _rule: ExpireTokens(), frozenset()),
}
"""By fault: how to read it, and the details that it takes."""


def _fault(fields: object, number: int) -> Fault:
    if not isinstance(fields, dict):
        raise FaultsInvalid(f"rule {number}: must be an object")
    rule = _Rule(fields, f"rule {number}")
    kind = rule.string("fault", "")
    if kind not in READERS:
        raise rule.error(f"`fault` must be one of {', '.join(f'`{word}`' for word in READERS)}")
    read, details = READERS[kind]
    if unknown := sorted(set(fields) - COMMON - details):
        raise rule.error(f"`{unknown[0]}` is no field of `{kind}`; it takes {_listed(COMMON | details)}")
    if len(set(fields) & set(TRIGGERS)) > 1:
        raise rule.error(f"give at most one of {_listed(TRIGGERS)}")
    return Fault(
        effect=read(rule),
        method=rule.string("method", ANY_METHOD).upper(),
        path=_pattern(rule),
        first=rule.optional_integer("first"),
        nth=rule.optional_integer("nth", low=1),
        every=rule.optional_integer("every", low=1),
        chance=rule.chance(),
    )


def _pattern(rule: _Rule) -> str:
    pattern = rule.string("path", "")
    try:
        re.compile(pattern)
    except re.error as error:
        raise rule.error(f"`path` is no regular expression: {error}") from error
    return pattern


def _listed(words: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))
