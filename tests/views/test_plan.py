"""Plans as text and Markdown: short for plans of any size, and harmless with any text in them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.batch import Spec
from reconciler.core.plans.plan import (
    Action,
    Change,
    Conflict,
    Drift,
    Orphan,
    Plan,
    Reason,
    Summary,
    Withdrawal,
    WithdrawVerb,
)
from reconciler.views.color import Palette
from reconciler.views.escape import for_markdown, for_runner, for_terminal, for_workflow, for_workflow_property
from reconciler.views.plan_json import dump_plan
from reconciler.views.plan_markdown import MAX_BYTES, MAX_CHARACTERS
from reconciler.views.plan_markdown import render_plan as markdown
from reconciler.views.plan_text import render_plan, summary_line
from tests.examples import desired, observed, plan_of, recorded
from tests.golden.plans.examples import EXAMPLES, days, every_action

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def text(plan: Plan, *, color: bool = False, verbose: bool = False) -> str:
    return "\n".join(render_plan(plan, color=color, verbose=verbose))


def many(count: int) -> Plan:
    start, shared = date(1900, 1, 1), Spec(format="json", tags={"team": ["crm"]})
    addresses = (f"l/d/{(start + timedelta(number)).isoformat()}" for number in range(count))
    made = (replace(recorded(address, spec=shared), id="") for address in addresses)
    return replace(plan_of(), changes=tuple(Change(Action.CREATE, r.address, Reason.NEW, None, r) for r in made))


# -- the summary line


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (Summary(add=3, destroy=1), "Plan: 3 to add, 0 to change, 1 to destroy."),
        (
            Summary(add=3, adopt=2, imported=1, forget=2, move=1),
            "Plan: 1 to import, 2 to adopt, 3 to add, 0 to change, 0 to destroy, 2 to forget, 1 to move.",
        ),
        (Summary(change=1), "Plan: 0 to add, 1 to change, 0 to destroy."),
        (Summary(move=1), "Plan: 0 to add, 0 to change, 0 to destroy, 1 to move."),
    ],
)
def test_the_summary_line_is_terraforms(count: Summary, line: str) -> None:
    plan = replace(every_action())
    plan.__dict__["summary"] = count  # the cached property, given
    assert summary_line(plan) == line


def test_no_changes_is_one_sentence() -> None:
    settled = plan_of([desired()], [recorded()], [observed()])
    assert summary_line(settled) == "No changes. Every declared batch is recorded and in Catalog."
    unread = plan_of([desired()], [recorded()], None)
    assert summary_line(unread) == "No changes. Every declared batch is recorded; Catalog was not read."
    assert summary_line(replace(settled, refresh_only=True)) == "No changes. Catalog is as recorded."
    assert summary_line(replace(settled, destroys_all=True)) == "No changes. Nothing is recorded."


@pytest.mark.parametrize("name", EXAMPLES)
def test_text_and_markdown_carry_summary_and_digest(name: str) -> None:
    plan = EXAMPLES[name]()
    assert text(plan).endswith(f"{summary_line(plan)}\nDigest: {plan.digest}")
    assert f"**{summary_line(plan)}**\n\nDigest: `{plan.digest}`" in markdown(plan)


@pytest.mark.parametrize("name", EXAMPLES)
def test_colour_adds_nothing_but_emphasis(name: str) -> None:
    plan = EXAMPLES[name]()
    assert ANSI.sub("", text(plan, color=True)) == text(plan)
    assert "\x1b[" in text(plan, color=True)
    assert "\x1b" not in text(plan)


# -- size


def test_a_hundred_thousand_creates_are_a_few_lines_at_once() -> None:
    plan = many(100_000)
    assert plan.digest
    began = perf_counter()
    lines = list(render_plan(plan, color=False))
    shown = markdown(plan)
    assert perf_counter() - began < 60, "not a line a batch"
    assert len(lines) < 10
    assert "l/d/1900-01-01 … 2173-10-15 (100000)" in shown
    assert len(shown) < 1_000


def test_specs_that_differ_by_their_own_key_are_told_together() -> None:
    plan = plan_of([desired(f"l/d/{day}", spec=Spec(tags={"day": [f"on {day}"]})) for day in days(90)])
    assert 'tags.day: ["on {key}"]' in text(plan)
    assert "(90)" in text(plan)


def test_a_key_in_a_shared_value_stays_as_it_is() -> None:
    shared = Spec(tags={"zone": ["apac"]})
    plan = plan_of([desired(f"l/d/{name}", spec=shared) for name in ("apac", "emea", "jp", "us")])
    assert 'tags.zone: ["apac"]' in text(plan)


def drifted(count: int, message: str = "failed") -> Plan:
    drift = tuple(Drift(f"l/d/x{n}y", f"B{n}", "failed", f"{message} {n}", "look") for n in range(count))
    return replace(plan_of(), drift=drift)


def test_a_flood_of_drift_is_counted_unless_all_is_asked_for() -> None:
    assert "and 950 more: `-v` shows them" in text(drifted(1000))
    assert text(drifted(1000), verbose=True).count("    ! ") == 1000


def conflicting(count: int) -> Plan:
    conflicts = tuple(Conflict(f"l/d/x{n}y", "needs a decision " * 5, "decide") for n in range(count))
    return replace(plan_of(), conflicts=conflicts)


def wild(count: int) -> Plan:
    """Changes that cannot be folded, in many datasets, with wide characters in them."""
    specs = [Spec(tags={"t": [f"\U0001f600{n}" * 20]}) for n in range(count)]
    return plan_of([desired(f"d{n % 50}/x{n}y/{'k' * 50}", spec=spec) for n, spec in enumerate(specs)])


@pytest.mark.parametrize(
    "plan",
    [wild(5_000), drifted(3_000), conflicting(3_000), replace(wild(3_000), drift=drifted(3_000, "\u4e2d" * 40).drift)],
    ids=["wild", "drift", "conflicts", "both"],
)
def test_markdown_fits_a_comment_and_says_what_is_left_out(plan: Plan) -> None:
    shown = markdown(plan)
    assert len(shown.encode("utf-16-le")) // 2 <= MAX_CHARACTERS
    assert len(shown.encode()) <= MAX_BYTES
    assert len(shown) > 15_000
    assert re.search(r"… and \d+ (more|changes)", shown)
    assert shown.count("<details>") == shown.count("</details>")


def test_markdown_accounts_for_every_change() -> None:
    plan = wild(5_000)
    shown = markdown(plan)
    told = len(re.findall(r"^\+ d", shown, re.MULTILINE))
    cut = sum(int(n) for n in re.findall(r"… and (\d+) more changes of this dataset", shown))
    beyond = sum(int(n) for n in re.findall(r"… and (\d+) changes of \d+ more datasets", shown))
    assert told + cut + beyond == 5_000
    assert beyond


def test_conflicts_and_drift_come_first_and_open() -> None:
    plan = replace(EXAMPLES["every-action"](), conflicts=conflicting(1).conflicts)
    shown = markdown(plan)
    assert shown.index("Conflicts") < shown.index("Changed outside") < shown.index("<details>")
    assert shown.startswith("<!-- reconciler:plan:dev -->\n")


# -- what others wrote

NASTY = st.text(alphabet=st.sampled_from("`|<>@#:!-[]()*_~\\\n\r\t\x1b\x9b\u202e\u2028a1 &%;"), max_size=40)


def nasty(text_: str) -> Plan:
    """A plan with the text wherever text of others can stand."""
    made = Spec(tags={text_ or "t": [text_]})
    known = replace(recorded("l/old"), id=text_ or "B", spec=made)
    return replace(
        plan_of([desired("l/new", spec=made)]),
        changes=(
            *plan_of([desired("l/new", spec=made)]).changes,
            Change(Action.FORGET, "l/old", Reason.NOT_DECLARED, known, None),
            Change(Action.UPDATE, "l/up", Reason.TAGS_CHANGED, known, replace(known, spec=Spec()), retags=True),
        ),
        drift=(Drift("l/d", text_ or "B", "failed", text_ or "m", text_, (text_, "::x" + text_)),),
        conflicts=(Conflict("l/c", text_ or "m", text_ or "h"),),
        how=text_,
    )


@given(NASTY)
def test_text_of_others_cannot_command_a_terminal_or_a_runner(nasty_text: str) -> None:
    for line in render_plan(nasty(nasty_text), color=False, verbose=True):
        assert line.isprintable()
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


@given(NASTY)
def test_text_of_others_is_inert_in_markdown(nasty_text: str) -> None:
    """Read by a real parser: no link, image, HTML or emphasis but our own."""
    parser = pytest.importorskip("markdown_it", reason="no Markdown parser here").MarkdownIt("gfm-like")
    parser.disable("linkify")
    read, quiet = (parser.parse(markdown(nasty(each))) for each in (nasty_text, "x"))
    assert [token.type for token in read] == [token.type for token in quiet]
    inside, quiet_inside = (
        [child.type for token in tokens for child in token.children or ()] for tokens in (read, quiet)
    )
    assert inside == quiet_inside


@given(NASTY)
def test_json_of_a_plan_holds_no_runner_command(nasty_text: str) -> None:
    written = dump_plan(nasty(nasty_text))
    assert written.isascii()
    assert "##" not in written.replace("#\\u0023", "")
    assert not re.search(r"^\s*::", written, re.MULTILINE)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain: text", "plain: text"),
        ("größer 数", "größer 数"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31m\x9b", r"\x1b[31m\x9b"),
        ("\u202eabc\u2066\u200b", r"\u202eabc\u2066\u200b"),
        ("::error::x", r"\::error::x"),
        ("  ::error::x", r"\  ::error::x"),
        ("x ##[error]y ##vso[z]", r"x #\#[error]y #\#vso[z]"),
        ("\ud800", r"\ud800"),
    ],
)
def test_for_terminal(raw: str, shown: str) -> None:
    assert for_terminal(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "`plain`"),
        ("", "`(empty)`"),
        (" ", "` `"),
        ("a `b` c", "``a `b` c``"),
        ("`b", "`` `b ``"),
        ("a``b", "```a``b```"),
        ("a|b", r"`a\|b`"),
        ("<b>@all #1", "`<b>@all #1`"),
        ("a\nb", r"`a\nb`"),
    ],
)
def test_for_markdown(raw: str, shown: str) -> None:
    assert for_markdown(raw) == shown


def test_for_workflow() -> None:
    assert for_workflow("100 %\r\n::x") == "100 %25%0D%0A::x"
    assert for_workflow_property("a:b,c%") == "a%3Ab%2Cc%25"
    assert for_runner('{"a": "##[x]"}') == '{"a": "#\\u0023[x]"}'


def test_a_palette_switched_off_changes_nothing() -> None:
    off, on = Palette(enabled=False), Palette(enabled=True)
    for name in ("bold", "dim", "red", "green", "yellow", "cyan"):
        assert getattr(off, name)("x") == "x"
        assert ANSI.sub("", getattr(on, name)("x")) == "x"
        assert getattr(on, name)("") == ""


# -- what a flood must not hide


def _revert(batch: str) -> Withdrawal:
    return Withdrawal(batch, WithdrawVerb.REVERT)


def flooded(deleted: int, *, created: int = 1_200) -> Plan:
    """Creates that cannot be folded, and behind them, by their names, some deletes and a replay."""
    made = [desired(f"a{n % 60}/x{n}y/{'k' * 40}", spec=Spec(tags={"t": [f"{n}" * 20]})) for n in range(created)]
    gone = [recorded(f"z/gone/x{n}y", id=f"GONE{n}") for n in range(deleted)]
    changes = [Change(Action.DELETE, r.address, Reason.NOT_DECLARED, r, None, withdraw=(_revert(r.id),)) for r in gone]
    new = replace(recorded("z/heir"), id="")
    replay = Change(Action.CREATE, "z/heir", Reason.NEW, None, new, predecessors=("FOREIGN1", "FOREIGN2"))
    return replace(plan_of(), changes=(*plan_of(made).changes, *changes, replay))


def test_two_deletes_behind_a_thousand_creates_stand_first() -> None:
    plan = flooded(2)
    for shown in (text(plan), markdown(plan)):
        first = min(shown.index(f"a{n}/x{n}y") for n in range(10) if f"a{n}/x{n}y" in shown)
        for name in ("z/gone/x0y", "GONE0", "z/gone/x1y", "GONE1", "z/heir", "FOREIGN1", "FOREIGN2"):
            assert shown.index(name) < first, name
    assert markdown(plan).index("FOREIGN2") < markdown(plan).index("<details>")


@pytest.mark.parametrize("deleted", [40, 900, 5_000])
def test_each_batch_that_goes_is_named_or_counted(deleted: int) -> None:
    shown = markdown(flooded(deleted))
    assert len(shown) <= MAX_CHARACTERS
    named = len(re.findall(r"^- z/gone/x\d+y  GONE\d+  #", shown, re.MULTILINE))
    left = sum(map(int, re.findall(r"… and (\d+) more of these", shown)))
    assert named + left == deleted + (1 if left else 0)  # the replay behind them is left out with them
    assert named == deleted or named > 800
    assert sum(line.startswith("    - z/gone/") for line in text(flooded(deleted)).splitlines()) == deleted


def test_days_that_go_are_named_in_ranges_and_what_goes_beside_them_by_id() -> None:
    gone = [replace(change.after, id=f"B{n}") for n, change in enumerate(many(5_000).changes) if change.after]
    odd = replace(gone[2_000], deposed=("FOREIGN",))
    gone[2_000] = odd
    changes = tuple(
        Change(Action.DELETE, r.address, Reason.NOT_DECLARED, r, None, withdraw=tuple(map(_revert, (*r.deposed, r.id))))
        for r in gone
    )
    plan = replace(plan_of(), changes=changes)
    for shown in (text(plan), markdown(plan)):
        assert f"- {odd.address}  B2000  with FOREIGN" in shown
        assert f"- {gone[0].address} … {gone[1_999].address[-10:]} (2000)" in shown
        assert f"- {gone[2_001].address} … {gone[-1].address[-10:]} (2999)" in shown
        assert len(shown.splitlines()) < 30


def test_the_batches_that_go_beside_the_own_one_are_named_in_a_long_row() -> None:
    gone = [replace(recorded(f"l/d/x{n}y"), id=f"B{n}", deposed=(f"FOREIGN{n}",)) for n in range(9)]
    changes = tuple(
        Change(Action.DELETE, r.address, Reason.NOT_DECLARED, r, None, withdraw=tuple(map(_revert, (*r.deposed, r.id))))
        for r in gone
    )
    plan = replace(plan_of(), changes=changes)
    for shown in (text(plan), markdown(plan)):
        assert all(f"FOREIGN{n}" in shown for n in range(9))


HUGE = "x" * 25_000


def test_one_huge_text_leaves_room_for_the_others() -> None:
    ids = [desired(f"l/new{n}") for n in range(3)]
    drift = (
        Drift("l/huge", "B1", "failed", HUGE, HUGE, (HUGE, HUGE, HUGE)),
        Drift("l/small", "B2", "failed", "failed", "look", ("the reason",)),
    )
    conflicts = (Conflict("l/c1", HUGE, HUGE), Conflict("l/c2", "needs a decision", "decide"))
    orphans = (Orphan("O1", "loading", HUGE), Orphan("O2", "loading", "l/orphan"))
    big = replace(recorded("l/tags"), id="B3", spec=Spec(tags={HUGE: [HUGE]} | {f"t{n}": [HUGE] for n in range(400)}))
    change = Change(Action.UPDATE, "l/tags", Reason.TAGS_CHANGED, replace(big, spec=Spec()), big, retags=True)
    plan = replace(plan_of(ids), drift=drift, conflicts=conflicts, orphans=orphans)
    plan = replace(plan, changes=(*plan.changes, change))
    for shown in (text(plan), markdown(plan)):
        assert len(shown) < MAX_CHARACTERS
        assert "x" * 1_001 not in shown
        assert "… (25000 characters)" in shown
        for name in ("l/small", "the reason", "l/c2", "l/orphan", "l/new0", "l/new2", "l/tags"):
            assert name in shown, name


# -- nothing to do is not the same as nothing to say


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("failed", "1 failed"),
        ("failure", "1 failed"),
        ("inactive", "1 withdrawn"),
        ("deleted", "1 withdrawn"),
        ("stalled", "1 stalled"),
    ],
)
def test_no_changes_says_what_is_to_be_looked_at(status: str, word: str) -> None:
    plan = plan_of([desired()], [recorded()], [observed(status=status)])
    assert not plan.changes
    line = f"No changes. To look at: {word}."
    assert summary_line(plan) == line
    assert line in text(plan)
    assert line in markdown(plan)
    assert plan.summary.drift == 1


def test_no_changes_counts_what_is_missing_orphaned_and_undecided() -> None:
    drift = tuple(Drift(f"l/{n}", f"B{n}", status, "m") for n, status in enumerate(["missing", "missing", "failed"]))
    plan = replace(plan_of(), drift=drift, orphans=(Orphan("O", "loading", None),), unsettled=2)
    assert summary_line(plan) == (
        "No changes. To look at: 1 failed, 2 missing, 1 orphan, 2 creates of an earlier run are undecided."
    )
    unread = replace(plan_of([desired()], [recorded()], None), unsettled=1)
    assert summary_line(unread) == (
        "No changes. Every declared batch is recorded; Catalog was not read. "
        "To look at: 1 create of an earlier run is undecided."
    )


def test_rows_that_are_not_in_are_to_be_looked_at() -> None:
    lost = replace(observed(status="success"), records=98, failed_records=2, errors=("INGEST-1212-400: 2 errors",))
    plan = plan_of([desired()], [recorded()], [lost])
    assert not plan.changes
    assert "was loaded without 2 of its records" in text(plan)
    assert "INGEST-1212-400: 2 errors" in text(plan)
    assert summary_line(plan) == (
        "No changes. Every declared batch is recorded and in Catalog. To look at: 1 not as recorded."
    )
