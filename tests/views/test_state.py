"""Records, outputs and errors as text."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from reconciler.core.errors import OutcomeUnknown, ReconcilerError
from reconciler.views.error_text import render_error
from reconciler.views.state_text import (
    check_text,
    list_text,
    output_env,
    output_json,
    output_text,
    show_json,
    show_text,
)
from tests.examples import DATASET, WHO, desired, observed, plan_of, recorded

IDS = {"loyalty/daily/2026-01-02": "B2", "loyalty/daily/2026-01-01": "B1", "orders/first": "B'3 $(x)"}


def test_records_are_listed_in_order_and_aligned() -> None:
    records = {each.address: each for each in (recorded("l/b", "B2", generation=2), recorded("l/aaa", "LONGER"))}
    assert list(list_text(records)) == ["l/aaa  LONGER  generation 1", "l/b    B2      generation 2"]
    assert list(list_text({})) == []


def test_one_record_is_shown_with_what_catalog_says() -> None:
    record = recorded("l/a", "B1", spec={"format": "json"}, deposed=("B0",))
    shown = list(show_text(record, observed("B1", "failed", address="l/a", errors=("bad \x1b",))))
    assert shown == [
        "l/a",
        f"  dataset: {DATASET}",
        '  deposed: ["B0"]',
        f"  external_id: {WHO.external_ids('l/a').of(1)}",
        "  generation: 1",
        "  id: B1",
        "  on_remove: forget",
        '  spec: {"format": "json"}',
        "  status: failed",
        r"  error: bad \x1b",
    ]
    assert "rivals" not in json.loads(show_json(record))


def test_output_is_one_batch_a_line_in_order() -> None:
    assert output_text(IDS) == [
        "loyalty/daily/2026-01-01 B1",
        "loyalty/daily/2026-01-02 B2",
        "orders/first             B'3 $(x)",
    ]
    assert output_text({}) == []
    (text,) = output_json(IDS)
    assert json.loads(text) == IDS
    assert list(json.loads(text)) == sorted(IDS)


def test_output_for_a_shell_survives_the_shell() -> None:
    script = "\n".join(output_env(IDS)) + '\nprintf "%s|%s" "$ORDERS_FIRST" "$LOYALTY_DAILY_2026_01_01"\n'
    ran = subprocess.run(["sh", "-eu"], input=script, capture_output=True, text=True, check=True)
    assert ran.stdout == "B'3 $(x)|B1"


def test_a_variable_never_begins_with_a_digit() -> None:
    assert output_env({"2026/a": "B"}) == ["_2026_A='B'"]


def test_two_addresses_with_one_variable_are_named() -> None:
    with pytest.raises(ReconcilerError, match=r"`l/a-b` and `l/a\.b` would both be the variable `L_A_B`") as raised:
        output_env({"l/a.b": "1", "l/a-b": "2"})
    assert raised.value.hint


def test_an_id_with_control_codes_is_no_variable() -> None:
    with pytest.raises(ReconcilerError, match="no shell variable"):
        output_env({"l/a": "B\nrm -rf /"})


def test_a_sound_state_is_one_line() -> None:
    plan = replace(plan_of([desired("l/a")], [recorded("l/a")], [observed(address="l/a")]), recorded=1, declared=1)
    assert check_text(plan) == ["State, journal and Catalog agree: 1 recorded, 1 declared."]


def test_each_contradiction_is_a_line() -> None:
    seen = [
        observed("B7", address="l/twice"),
        observed("B8", address="l/twice"),
        observed("LOST", address="l/lost"),
        observed("F", "failed", address="l/failed"),
        observed("O", address="l/nobody"),
    ]
    wanted = [desired(f"l/{name}") for name in ("twice", "lost", "failed")]
    plan = replace(plan_of(wanted, [recorded("l/failed", "F")], seen), unsettled=1)
    shown = "\n".join(check_text(plan))
    for words in (
        "l/twice: 2 live",
        "hint: decide",
        "l/failed: batch F failed",
        "l/lost: batch LOST",
        "batch O carries",
    ):
        assert words in shown
    assert "1 create of an earlier run is undecided" in shown
    assert "agree" not in shown


def test_an_error_says_what_why_and_what_next() -> None:
    error = OutcomeUnknown("no answer\x1b", detail="first\n::second", hint="run again", request_id="r-1")
    assert render_error(error, color=False).splitlines() == [
        r"error: no answer\x1b",
        "  first",
        r"  \::second",
        "  request id: r-1",
        "hint: run again",
    ]
    assert render_error(ReconcilerError("just this"), color=True) == "\x1b[31merror:\x1b[0m just this"
