"""pydantic's errors as findings in our own words. Never shows pydantic's messages, nor much of the input."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.manifests import fields, models
from reconciler.core.manifests.dates import STEP_PATTERN
from reconciler.core.manifests.findings import Finding
from reconciler.core.wording import closest, guess, quoted, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from reconciler.core.diagnostics import Place, Route
    from reconciler.core.manifests.source import Data

MAX_FINDINGS = 1_000
"""Findings of one document that are listed; the others are counted."""

KEY_STEP = "[key]"
"""pydantic's last step for a mistake in a key rather than in its value."""

RULES: Mapping[str, tuple[str, str, str]] = {
    fields.NAME: (
        "bad-name",
        "is not a name",
        "names are made of `a-z`, `0-9`, `.`, `_` and `-`, and begin with a letter or a digit",
    ),
    fields.ENVIRONMENT: (
        "bad-name",
        "is not the name of an environment",
        "names are made of `a-z`, `0-9`, `.`, `_` and `-`, begin with a letter or a digit, and are 64 long at most",
    ),
    fields.KEY: (
        "bad-key",
        "is not a key",
        "keys are made of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, and begin with a letter or a digit",
    ),
    fields.DIMENSION: (
        "bad-name",
        "is not the name of a dimension",
        "dimensions are named with `a-z`, `0-9` and `_`, and begin with a letter",
    ),
    fields.PROJECT: (
        "bad-name",
        "is not a project name",
        "project names are made of `a-z`, `0-9` and `-`, begin with a letter or a digit, and are 32 long at most",
    ),
    fields.ORG: ("bad-org", "is not an organisation", "write its id as AEP shows it: 24 hex digits and `@AdobeOrg`"),
    fields.SANDBOX: (
        "bad-name",
        "is not the name of a sandbox",
        "write the sandbox's name, not its title: `a-z`, `0-9` and `-`",
    ),
    fields.DATASET_ID: (
        "bad-id",
        "is not a dataset id",
        "write the id as AEP shows it, such as `5c8c3c555033b814b69f947f`",
    ),
    fields.BATCH_ID: (
        "bad-id",
        "is not a batch id",
        "write the id as AEP shows it, such as `01EQ1C48TR4GD4FE7NH2522TCQ`",
    ),
    STEP_PATTERN: ("bad-step", "is not a step", "write a step such as `1d`, `7d`, `2w`, `1mo` or `1y`"),
}
"""For each pattern of a field: the code, what the text is not, and the hint."""

KINDS = {
    "string_type": ("a text", "write one value"),
    "list_type": ("a list", "write a list, such as `[a, b]`"),
    "dict_type": ("a mapping", "write `name: value` lines below it"),
    "model_type": ("a mapping", "write its fields as `name: value` lines below it"),
    "int_type": ("a whole number", "write digits, without quotes"),
    "bool_type": ("`true` or `false`", "write `true` or `false`, without quotes"),
    "literal_error": ("one word", "write one of the words that are allowed"),
}
"""For each of pydantic's errors of type: what is needed, and the hint."""

MODELS: Mapping[str, type[BaseModel]] = {
    "batches": models.BatchFields,
    "csv": models.CsvFields,
    "defaults": models.SharedFields,
    "each": models.DateRange,
    "environments": models.EnvironmentFields,
    "imports": models.ImportEntry,
    "lifecycle": models.LifecycleFields,
    "limits": models.LimitFields,
    "moved": models.MoveEntry,
}
"""The model of what stands below a field."""

COLLECTIONS = frozenset({"batches", "each", "environments", "imports", "moved"})
"""Fields that hold many values of one model, by name or by index."""


def findings_of(error: ValidationError, place: Place, root: type[BaseModel]) -> list[Finding]:
    """Turn the errors of one document into findings; a field that is only misspelt is not called missing as well."""
    errors = error.errors(include_url=False)
    found = [(each["type"], _finding(each, place, root)) for each in errors[:MAX_FINDINGS]]
    misspelt = {_meant(finding.place, root) for kind, finding in found if kind == "extra_forbidden"}
    findings = [finding for kind, finding in found if kind != "missing" or finding.place not in misspelt]
    if len(errors) > MAX_FINDINGS:
        message = f"this document has {len(errors) - MAX_FINDINGS:,} more mistakes"
        findings.append(Finding("more-mistakes", message, place, "correct the others first"))
    return findings


def _meant(place: Place, root: type[BaseModel]) -> Place:
    """Return the place of the field that an unknown one was probably meant to be."""
    *above, last = place.route
    return replace(place, route=(*above, closest(str(last), fields_at(root, above)) or last))


def fields_at(root: type[BaseModel], route: Sequence[str | int]) -> list[str]:
    """List the fields, as users write them, of the mapping at a route; none where names are free."""
    model, steps = root, iter(route)
    for step in steps:
        if step not in MODELS or (step in COLLECTIONS and next(steps, None) is None):
            return []
        model = MODELS[str(step)]
    return [field.alias or name for name, field in model.model_fields.items()]


def describe(value: Data | int) -> str:
    """Say in a word or two what was found."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return quoted(str(value))


def _route(location: Iterable[str | int]) -> Route:
    return tuple(step for step in location if step not in models.VARIANTS)


def _finding(error: ErrorDetails, place: Place, root: type[BaseModel]) -> Finding:
    route = _route(error["loc"])
    is_key = bool(route) and route[-1] == KEY_STEP
    if is_key:
        route = route[:-1]
    context = error.get("ctx", {})
    at = place.below(*route, context["at"]) if context.get("at") else place.below(*route)
    code, message, hint = _words(error, route, root)
    return Finding(code, message, at, hint, key=is_key or code in {"unknown-field", "missing-field"})


def _words(error: ErrorDetails, route: Route, root: type[BaseModel]) -> tuple[str, str, str]:
    """Return the code, message and hint for one error."""
    kind, context, name = error["type"], error.get("ctx", {}), _name(route)
    if "hint" in context:
        return kind, _with_name(context["message"], name), context["hint"]
    if kind == "extra_forbidden":
        where = f" of {_name(route[:-1])}" if len(route) > 1 else ""
        return (
            "unknown-field",
            f"{name} is not a field{where}",
            guess(str(route[-1]), fields_at(root, route[:-1]), "Fields"),
        )
    if kind == "missing":
        where = f"{_name(route[:-1])} has" if len(route) > 1 else "there is"
        return "missing-field", f"{where} no {name}", f"add a line `{visible(str(route[-1]))}: …`"
    if fields.is_null(error["input"]):
        return "no-value", f"{name} has no value", "write one, or take the line out"
    return _words_for_value(kind, context, name, error["input"])


def _words_for_value(kind: str, context: Mapping[str, object], name: str, value: Data) -> tuple[str, str, str]:
    if kind == "string_pattern_mismatch" and (rule := RULES.get(str(context.get("pattern")))):
        code, what, hint = rule
        return code, f"{describe(value)} {what}", hint
    if kind in KINDS:
        needed, hint = KINDS[kind]
        return "wrong-type", f"{name} needs {needed}, found {describe(value)}", hint
    match kind:
        case "greater_than_equal" | "less_than_equal":
            limit = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
            return "out-of-range", f"{name} must be {limit}, found {describe(value)}", "write a number within the range"
        case "too_short" | "string_too_short":
            return "no-value", f"{name} is empty", "write at least one, or take the line out"
        case "string_too_long":
            return "too-long", f"{name} is longer than {context['max_length']} characters", "choose a shorter one"
        case _:
            return "bad-value", f"{name} cannot be {describe(value)}", "see `reconciler schema` for what is allowed"


def _name(route: Sequence[str | int]) -> str:
    """Return the name of what stands at a route; an item of a list has the list's name."""
    if not route:
        return "the document"
    if isinstance(route[-1], int):
        return f"an item of {_name(route[:-1])}"
    return quoted(route[-1])


def _with_name(message: str, name: str) -> str:
    """Put the field's name in place of the first `{field}`: a later one was typed by the user."""
    return message.replace("{field}", name, 1)
