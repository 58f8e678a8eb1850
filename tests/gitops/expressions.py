"""GitHub's workflow expressions, as far as the shipped workflows use them: `${{ a.b == 'c' && format('{0}', d) }}`.

The real evaluator's rules: a name that is not there is null; null, false, 0 and '' are false; `&&` and `||` return an
operand.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<name>[A-Za-z_][\w.-]*)|(?P<mark>\|\||&&|==|!=|[!(),]))")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


def fill(value: Any, context: Mapping[str, Any]) -> Any:
    """The value with every `${{ … }}` in it evaluated; a text that is nothing but one expression keeps its type."""
    if isinstance(value, dict):
        return {key: fill(each, context) for key, each in value.items()}
    if isinstance(value, list):
        return [fill(each, context) for each in value]
    if not isinstance(value, str):
        return value
    whole = _EXPRESSION.fullmatch(value.strip())
    if whole and "${{" not in whole[1]:
        return evaluate(whole[1], context)
    return _EXPRESSION.sub(lambda found: as_text(evaluate(found[1], context)), value)


def holds(condition: str | None, context: Mapping[str, Any], status: str) -> bool:
    """Whether an `if:` holds; like GitHub, success is asked for unless the condition speaks of the status itself."""
    if condition is None:
        return status == "success"
    outer = _EXPRESSION.fullmatch(condition.strip())
    text = outer[1] if outer else condition
    if not re.search(r"\b(always|cancelled|success|failure)\(", text) and status != "success":
        return False
    return bool(evaluate(text, {**context, "status": status}))


def evaluate(text: str, context: Mapping[str, Any]) -> Any:
    """The value of one expression. Raises `ValueError` for what these workflows do not use."""
    return _Parser(text, context).value()


def as_text(value: Any) -> str:
    """How a value stands in an environment variable."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool) else str(value)


class _Parser:
    def __init__(self, text: str, context: Mapping[str, Any]) -> None:
        self._tokens = list(_split(text))
        self._context = context

    def value(self) -> Any:
        found = self._either()
        if self._tokens:
            raise ValueError(f"left over: {self._tokens}")
        return found

    def _next(self, mark: str) -> bool:
        if self._tokens and self._tokens[0] == mark:
            self._tokens.pop(0)
            return True
        return False

    def _either(self) -> Any:
        found = self._both()
        while self._next("||"):
            other = self._both()
            found = found or other
        return found

    def _both(self) -> Any:
        found = self._compared()
        while self._next("&&"):
            other = self._compared()
            found = found and other
        return found

    def _compared(self) -> Any:
        found = self._single()
        if self._next("=="):
            return as_text(found) == as_text(self._single())
        if self._next("!="):
            return as_text(found) != as_text(self._single())
        return found

    def _single(self) -> Any:
        if self._next("!"):
            return not self._single()
        if self._next("("):
            found = self._either()
            self._expect(")")
            return found
        token = self._tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        return self._call(token) if self._next("(") else self._look_up(token)

    def _expect(self, mark: str) -> None:
        if not self._next(mark):
            raise ValueError(f"`{mark}` expected before {self._tokens}")

    def _call(self, name: str) -> Any:
        arguments: list[Any] = []
        while not self._next(")"):
            arguments.append(self._either())
            self._next(",")
        status = self._context.get("status")
        match name:
            case "always":
                return True
            case "cancelled":
                return status == "cancelled"
            case "format":
                return str(arguments[0]).format(*map(as_text, arguments[1:]))
            case "toJSON":
                return json.dumps(arguments[0])
            case "fromJSON":
                return json.loads(arguments[0])
            case _:
                raise ValueError(f"function `{name}`")

    def _look_up(self, path: str) -> Any:
        found: Any = self._context
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found


def _split(text: str) -> Iterator[str]:
    position = 0
    while text[position:].strip():
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError(f"cannot read `{text[position:]}`")
        position = found.end()
        yield found.group().strip()
