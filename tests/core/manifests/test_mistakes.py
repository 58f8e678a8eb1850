"""pydantic's errors in our own words: the cases that no golden manifest can show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, Field, ValidationError

from reconciler.core.diagnostics import Place
from reconciler.core.manifests.mistakes import MAX_FINDINGS, describe, fields_at, findings_of
from reconciler.core.manifests.models import CsvFields, DatasetFields, ProjectFields
from reconciler.core.manifests.source import Plain

if TYPE_CHECKING:
    from reconciler.core.diagnostics import Route

PLACE = Place("m.yaml", 0, ())


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ((), ["dataset", "id", "defaults", "batches", "moved", "imports"]),
        (("batches", "csv", "csv"), list(CsvFields.model_fields)),
        (("defaults", "csv"), list(CsvFields.model_fields)),
        (("batches", "a", "each", "day"), ["from", "to", "step"]),
        (("moved", 0), ["from", "to"]),
        (("batches",), []),
        (("batches", "a", "tags"), []),
    ],
)
def test_the_fields_of_a_mapping_are_known_by_its_route(route: Route, expected: list[str]) -> None:
    assert fields_at(DatasetFields, route) == expected


def test_the_fields_of_the_project_file() -> None:
    assert fields_at(ProjectFields, ("environments", "dev")) == ["emulator", "org", "sandbox"]
    assert fields_at(ProjectFields, ("limits",)) == ["create", "replace", "delete"]


def test_what_was_found_is_said_in_a_word() -> None:
    assert [describe({}), describe([]), describe(Plain("x")), describe(7)] == ["a mapping", "a list", "`x`", "`7`"]


class Future(BaseModel):
    number: int = Field(multiple_of=7)


def test_an_error_that_nobody_thought_of_still_has_words_of_ours() -> None:
    with pytest.raises(ValidationError) as caught:
        Future.model_validate({"number": 5})
    found = findings_of(caught.value, PLACE, Future)[0]
    assert (found.code, found.message) == ("bad-value", "`number` cannot be `5`")
    assert found.place == Place("m.yaml", 0, ("number",))
    assert found.hint


def test_a_flood_of_mistakes_is_counted() -> None:
    with pytest.raises(ValidationError) as caught:
        DatasetFields.model_validate({f"x{index}": Plain("") for index in range(MAX_FINDINGS + 7)})
    found = findings_of(caught.value, PLACE, DatasetFields)
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1].message == "this document has 7 more mistakes"


def test_a_misspelt_field_is_not_called_missing_as_well() -> None:
    with pytest.raises(ValidationError) as caught:
        ProjectFields.model_validate({"projct": "p"})
    assert [each.code for each in findings_of(caught.value, PLACE, ProjectFields)] == ["missing-field", "unknown-field"]
    assert findings_of(caught.value, PLACE, ProjectFields)[0].message == "there is no `environments`"
