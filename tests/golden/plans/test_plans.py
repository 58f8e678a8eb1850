"""How plans look: each example as text, Markdown and JSON, beside it in files. `UPDATE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler import __version__
from reconciler.views import plan_json, plan_markdown, plan_text
from tests.golden.plans.examples import EXAMPLES

if TYPE_CHECKING:
    from reconciler.core.plans.plan import Plan

HERE = Path(__file__).parent


def _text(plan: Plan) -> str:
    return "".join(f"{line}\n" for line in plan_text.render_plan(plan, color=False, verbose=True))


def _json(plan: Plan) -> str:
    written = plan_json.dump_plan(plan)
    return written.replace(f'"reconciler_version":"{__version__}"', '"reconciler_version":"0"')


VIEWS = {"txt": _text, "md": plan_markdown.render_plan, "json": _json}


@pytest.mark.parametrize("form", VIEWS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_plan_looks_as_agreed(name: str, form: str) -> None:
    golden = HERE / f"{name}.{form}"
    shown = VIEWS[form](EXAMPLES[name]())
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(shown, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == shown


def test_every_file_has_its_example() -> None:
    kept = {path.stem for path in HERE.iterdir() if path.suffix.lstrip(".") in VIEWS}
    assert kept == set(EXAMPLES)
