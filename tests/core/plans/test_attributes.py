"""What differs between two records, attribute by attribute."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reconciler.core.batch import Csv, OnRemove, Spec
from reconciler.core.plans.attributes import Attribute, Facts, attributes_of, changed


def facts(spec: Spec | None = None, dataset: str = "D", on_remove: OnRemove = OnRemove.FORGET) -> Facts:
    return Facts(spec or Spec(), dataset, on_remove)


FULL = Spec(
    csv=Csv(delimiter=";", header=True),
    error_diagnostics=True,
    format="csv",
    partial_ingestion_percent=5,
    replaces=["a"],
    tags={"team": ["crm"]},
)
FULL_LEAVES = [
    ("csv.delimiter", ";"),
    ("csv.header", True),
    ("error_diagnostics", True),
    ("format", "csv"),
    ("partial_ingestion_percent", 5),
    ("replaces", ["a"]),
    ("tags.team", ["crm"]),
]
"""Every field of `FULL`: beside it, little of two records is the same."""
FULL_SET = sorted([*((name, None, value) for name, value in FULL_LEAVES), ("on_remove", "forget", "delete")], key=str)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (facts(), facts(), []),
        (facts(Spec(format="csv")), facts(Spec(format="json")), [("format", "csv", "json")]),
        (facts(), facts(Spec(format="json")), [("format", None, "json")]),
        (facts(Spec(multiline=True)), facts(), [("multiline", True, None)]),
        (
            facts(Spec(tags={"team": ["crm"]})),
            facts(Spec(tags={"team": ["crm", "eu"]})),
            [("tags.team", ["crm"], ["crm", "eu"])],
        ),
        (
            facts(Spec(tags={"a": ["1"], "b": ["2"]})),
            facts(Spec(tags={"b": ["2"], "c": ["3"]})),
            [("tags.a", ["1"], None), ("tags.c", None, ["3"])],
        ),
        (facts(Spec(tags={"a": ["1", "2"]})), facts(), [("tags.a", ["1", "2"], None)]),
        (facts(), facts(Spec(csv=Csv(delimiter=";"))), [("csv.delimiter", None, ";")]),
        (
            facts(Spec(csv=Csv(delimiter=";", header=True))),
            facts(Spec(csv=Csv(delimiter=",", header=True))),
            [("csv.delimiter", ";", ",")],
        ),
        (facts(Spec(replaces=["a"])), facts(Spec(replaces=["b", "a"])), [("replaces", ["a"], ["b", "a"])]),
        (facts(dataset="D"), facts(dataset="E"), [("dataset", "D", "E")]),
        (facts(), facts(on_remove=OnRemove.DELETE), [("on_remove", "forget", "delete")]),
        (facts(Spec(tags={"a.b": ["1"]})), facts(Spec(tags={"a.b": ["2"]})), [("tags['a.b']", ["1"], ["2"])]),
        (
            facts(Spec(partial_ingestion_percent=1)),
            facts(Spec(partial_ingestion_percent=5)),
            [("partial_ingestion_percent", 1, 5)],
        ),
        (facts(FULL), facts(), [(name, value, None) for name, value in FULL_LEAVES]),
        (facts(), facts(FULL, on_remove=OnRemove.DELETE), FULL_SET),
    ],
)
def test_each_difference_is_one_attribute(before: Facts, after: Facts, expected: list[tuple[object, ...]]) -> None:
    assert [(each.name, each.before, each.after) for each in changed(before, after)] == expected


def test_what_is_set_is_shown_and_defaults_go_without_saying() -> None:
    assert attributes_of(facts(Spec(format="json", tags={"team": ["crm"]}))) == (
        Attribute("format", None, "json"),
        Attribute("tags.team", None, ["crm"]),
        Attribute("dataset", None, "D"),
    )
    assert attributes_of(facts(on_remove=OnRemove.DELETE))[0] == Attribute("on_remove", None, "delete")


def test_deepdiff_is_not_imported_before_something_differs() -> None:
    script = "import sys, reconciler.views.plan_text as _; print('deepdiff' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
