"""The types of the manifests' fields: how raw YAML scalars become texts, numbers, words and dates, or mistakes.

A field of text takes an unquoted scalar as it stands; numbers, truth values and nothing are taken from unquoted
scalars only, in the spellings of YAML 1.2. No field can name a host, a credential or a command.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal, LiteralString, get_args

from pydantic import AfterValidator, BeforeValidator, Field, GetPydanticSchema, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from reconciler.core import address, identity
from reconciler.core.batch import RecreateWhen
from reconciler.core.manifests.dates import MOMENT_PATTERN, STEP_PATTERN, Moment, Step, read_moment, read_step
from reconciler.core.manifests.source import Plain
from reconciler.core.wording import guess, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pydantic.fields import FieldInfo

NAME = f"^{address.NAME}$"
ENVIRONMENT = r"^[a-z0-9][a-z0-9._-]{0,63}$"
ADDRESS = f"^{address.ADDRESS}$"
KEY = f"^{address.KEY}$"
DIMENSION = r"^[a-z][a-z0-9_]*$"
PROJECT = r"^[a-z0-9][a-z0-9-]{0,31}$"
ORG = r"^[0-9A-Za-z]{24}@AdobeOrg$"
SANDBOX = r"^[a-z0-9][a-z0-9-]*$"
DATASET_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
BATCH_ID = r"^[A-Za-z0-9._-]{1,128}$"

FORMATS = ("csv", "json", "parquet")
CHARSETS = ("ISO-8859-1", "US-ASCII", "UTF-8")

RESERVED_TAGS = frozenset({"unifiedprofile", "unifiedidentity"})
RESERVED_TAG_PREFIXES = ("adobe", "acp_", "reconciler_")

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LONGEST_WHOLE = 12
"""Digits of a whole number."""
LONGEST_PATTERN = 1_024
"""Characters of a file pattern."""
MOST_STEPS = 64
"""Steps of a file pattern: what stands between its slashes."""


def mistake(code: LiteralString, message: str, hint: str, *, at: str | None = None) -> PydanticCustomError:
    """Describe a mistake; `{field}` in the message stands for the field's name, `at` names a field below it."""
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint, "at": at})


def is_null(value: object) -> bool:
    """Whether nothing was written."""
    return isinstance(value, Plain) and value.is_null


def null_as_mapping(value: object) -> object:
    """Read nothing as an empty mapping."""
    return {} if is_null(value) else value


def null_as_list(value: object) -> object:
    """Read nothing as an empty list."""
    return [] if is_null(value) else value


def one_of(words: Collection[str], *, fold: Callable[[str], str] = str) -> BeforeValidator:
    """Take one of a few words."""

    def choose(value: object) -> object:
        if not isinstance(value, str) or is_null(value):
            return value
        if (word := fold(value)) not in words:
            raise mistake("unknown-value", f"{{field}} cannot be {quoted(value)}", guess(value, words, "Values"))
        return word

    return BeforeValidator(choose)


def read_by(read: Callable[[str], object], form: object = str) -> GetPydanticSchema:
    """Check a field as a text of some form, then read it into a value. In the JSON Schema it remains that text."""
    return GetPydanticSchema(lambda _, handler: core_schema.no_info_after_validator_function(read, handler(form)))


def for_editors(pattern: str) -> FieldInfo:
    """Give editors a pattern for what is checked in code."""
    return Field(json_schema_extra={"pattern": pattern})  # type: ignore[no-any-return]  # pydantic types it as Any


def in_any_case(words: Collection[str]) -> WithJsonSchema:
    """Give editors the words as they are usually written, and accept other cases."""
    either = "|".join("".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in word) for word in words)
    return WithJsonSchema({"anyOf": [{"enum": list(words)}, {"type": "string", "pattern": f"^(?:{either})$"}]})


def _whole(value: object) -> object:
    if isinstance(value, Plain) and re.fullmatch(r"[+-]?(0|[1-9][0-9]*)", value) and len(value) <= LONGEST_WHOLE:
        return int(value)
    if isinstance(value, str) and not is_null(value):
        found = quoted(value) if isinstance(value, Plain) else f"the text {quoted(value)} in quotes"
        raise mistake("wrong-type", f"{{field}} needs a whole number, found {found}", "write digits, without quotes")
    return value


def _flag(value: object) -> object:
    if isinstance(value, Plain) and value in {"true", "True", "TRUE"}:
        return True
    if isinstance(value, Plain) and value in {"false", "False", "FALSE"}:
        return False
    if isinstance(value, str) and not is_null(value):
        found = quoted(value) if isinstance(value, Plain) else f"the text {quoted(value)} in quotes"
        raise mistake(
            "wrong-type",
            f"{{field}} needs `true` or `false`, found {found}",
            "write `true` or `false`, without quotes",
        )
    return value


def _header(value: bool) -> bool:  # noqa: FBT001  (a validator)
    if not value:
        hint = "take the field out, and write a header line into the files: AEP reads the columns' names from it"
        raise mistake("header-needed", "{field} cannot be `false`", hint)
    return value


def _printable(value: str) -> str:
    if CONTROL.search(value):
        raise mistake("control-character", f"{quoted(value)} holds a control character", "take it out")
    return value


def _tag_name(value: str) -> str:
    _check_tag_name(value)
    return value


@lru_cache(maxsize=1_000)
def _check_tag_name(value: str) -> None:
    """Refuse what is no tag name. Remembered, since the batches of a project have the same few."""
    _printable(value)
    folded = value.casefold()
    if not value or re.search(r"[,:*\s]", value):
        hint = "tag names are not empty and hold no `,`, `:`, `*` or space: Catalog's filters give them a meaning"
        raise mistake("bad-tag", f"{quoted(value)} is not a tag name", hint)
    if folded in RESERVED_TAGS or folded.startswith(RESERVED_TAG_PREFIXES):
        hint = (
            "names that begin with `adobe`, `acp_` or `reconciler_`, `unifiedProfile` and `unifiedIdentity` are taken"
        )
        raise mistake("reserved-tag", f"the tag name {quoted(value)} is reserved", hint)


def _address(value: str) -> str:
    if not address.is_address(value):
        hint = "an address is `dataset/batch`, or `dataset/batch/key` for a batch with `each`"
        raise mistake("bad-address", f"{quoted(value)} is not an address", hint)
    return value


def _predecessor(value: str) -> str:
    if address.names_address(value):
        return _address(value)
    if not re.match(BATCH_ID, value):
        raise mistake("bad-id", f"{quoted(value)} is not a batch id", "write an address, or an id as AEP shows it")
    return value


def _file_pattern(value: str) -> str:
    _printable(value)
    parts = value.split("/")
    steps = [part for part in parts if part not in {"", "."}]
    if len(value) > LONGEST_PATTERN or len(steps) > MOST_STEPS:
        message = f"{quoted(value)} has {len(value):,} characters and {len(steps):,} steps between its `/`"
        hint = f"write at most {LONGEST_PATTERN:,} characters and {MOST_STEPS} steps: one `**` crosses many folders"
        raise mistake("too-long", message, hint)
    if not steps or value.startswith("/") or "\\" in value or ".." in parts or re.match(r"[A-Za-z]:", value):
        hint = "write a path relative to the repository, with `/` and without `..`, such as `data/*.json`"
        raise mistake("bad-path", f"{quoted(value)} is not a path inside the repository", hint)
    return value


def _moment(value: str) -> Moment:
    moment = read_moment(value)
    if moment is None:
        hint = "write a date such as `2026-01-31`, or `today`, `today-30d`, `today+1mo`"
        raise mistake("bad-date", f"{quoted(value)} is not a date", hint)
    return moment


def _character(value: str) -> str:
    if len(value) != 1 or value in "\r\n\0":
        raise mistake(
            "bad-character",
            f"{{field}} needs one character, found {quoted(value)}",
            'write one, such as `";"`',
        )
    return value


Whole = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Percent = Annotated[int, Field(ge=0, le=100), BeforeValidator(_whole)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Header = Annotated[Flag, AfterValidator(_header)]
"""`header: false` is known and refused: AEP takes no CSV file without a header line (aep-api.md §6.4)."""
Name = Annotated[str, Field(pattern=NAME, max_length=256)]
EnvironmentName = Annotated[str, Field(pattern=ENVIRONMENT)]
Key = Annotated[str, Field(pattern=KEY)]
DatasetId = Annotated[str, Field(pattern=DATASET_ID)]
Address = Annotated[str, AfterValidator(_address), for_editors(ADDRESS)]
MomentField = Annotated[Moment, read_by(_moment), for_editors(MOMENT_PATTERN)]
Character = Annotated[str, AfterValidator(_character)]
Printable = Annotated[str, AfterValidator(_printable)]
TagValue = Annotated[str, Field(min_length=1), AfterValidator(_printable)]
Format = Annotated[Literal["csv", "json", "parquet"], one_of(FORMATS, fold=str.lower), in_any_case(FORMATS)]
Charset = Annotated[Literal["ISO-8859-1", "US-ASCII", "UTF-8"], one_of(CHARSETS, fold=str.upper), in_any_case(CHARSETS)]
Removal = Annotated[Literal["delete", "forget"], one_of(("delete", "forget"))]
Recreate = Annotated[RecreateWhen, one_of(get_args(RecreateWhen))]
IgnoredField = Annotated[Literal["tags"], one_of(("tags",))]
StepField = Annotated[Step, read_by(read_step, Annotated[str, Field(pattern=STEP_PATTERN)])]
DimensionName = Annotated[str, Field(pattern=DIMENSION)]
TagName = Annotated[str, AfterValidator(_tag_name), for_editors(r"^(?!adobe|acp_|reconciler_)[^,:*\s]+$")]
FilePattern = Annotated[str, AfterValidator(_file_pattern), for_editors(r"^(?![/\\])(?!(?:.*/)?\.\.(?:/|$))[^\\]+$")]
Predecessor = Annotated[str, AfterValidator(_predecessor), for_editors(f"{BATCH_ID}|{ADDRESS}")]
ExternalId = Annotated[str, Field(min_length=1), for_editors(f"^(?:{identity.CHARACTERS}|[{{}}])+$")]
BatchId = Annotated[str, Field(pattern=BATCH_ID)]
ProjectName = Annotated[str, Field(pattern=PROJECT)]
Org = Annotated[str, Field(pattern=ORG)]
Sandbox = Annotated[str, Field(pattern=SANDBOX, max_length=64)]
