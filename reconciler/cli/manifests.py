"""`validate`, `schema`, `init`: the commands that need no state and no network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.invocation import pass_invocation
from reconciler.core.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.cli.invocation import Invocation
    from reconciler.scaffold import Pipeline


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@pass_invocation
def validate(invocation: Invocation, form: str) -> int:
    """Check the manifests, offline, and report every mistake."""
    from reconciler import workspace
    from reconciler.core.diagnostics import has_errors
    from reconciler.views import diagnostics as view

    found = workspace.validate(invocation.workspace())
    console = invocation.console
    match form:
        case "json":
            console.out([json.dumps(view.to_json(found), indent=2, sort_keys=True)])
        case "github":
            console.out([view.render_github(found, _below_repository())] if found else [])
        case _:
            console.err([view.render(found, color=console.color_err)] if found else [])
            console.out([] if has_errors(found) else ["The manifests are valid."])
    return ExitCode.ERROR if has_errors(found) else ExitCode.OK


def _below_repository() -> str:
    """The folder of now within the repository, with `/` at its end: GitHub finds a file by its path from the top.

    Where Git is not installed, a checkout is no repository, and the runner says where its top is. The nearer counts.
    """
    from reconciler.scaffold import top_of

    here = Path.cwd()
    runner = os.environ.get("GITHUB_WORKSPACE")
    tops = [
        top for top in (top_of(here), Path(runner).resolve() if runner else None) if top and here.is_relative_to(top)
    ]
    top = max(tops, key=lambda each: len(each.parts), default=here)
    return "".join(f"{part}/" for part in here.relative_to(top).parts)


@click.command()
@click.argument("what", type=click.Choice(["manifest", "project", "plan", "state"]), default="manifest")
@pass_invocation
def schema(invocation: Invocation, what: str) -> int:
    """Print a JSON Schema, for editors and checks."""
    from reconciler.core.manifests import schema as manifests
    from reconciler.core.plans import schema as plans
    from reconciler.core.states import schema as states

    made = {
        "manifest": manifests.manifest_schema,
        "project": manifests.project_schema,
        "plan": plans.plan_schema,
        "state": states.state_schema,
    }[what]()
    invocation.console.out([json.dumps(made, indent=2, sort_keys=True)])
    return ExitCode.OK


@click.command()
@click.option(
    "--ci", type=click.Choice(["github", "gitlab"]), help="Also write the pipeline files, at the top of the repository."
)
@click.option(
    "--package",
    metavar="SPEC",
    help="What the pipeline installs: an exact version, commit, wheel or requirements file.",
)
@pass_invocation
def init(invocation: Invocation, ci: str | None, package: str | None) -> int:
    """Scaffold a project in this folder; files that exist are left alone."""
    from reconciler import scaffold
    from reconciler.views.escape import for_terminal

    _refuse_other_places(click.get_current_context().find_root().params)
    done = scaffold.write(invocation.root, _pipeline(invocation.root, ci, package))
    invocation.console.out([f"wrote {name}" for name in done.written] + [f"kept {name}" for name in done.kept])
    invocation.console.err([for_terminal(f"note: {note}") for note in done.notes])
    return ExitCode.OK


def _refuse_other_places(flags: Mapping[str, Any]) -> None:
    if Path(flags["manifests"]) != Path("manifests") or flags["state_file"] is not None:
        raise click.UsageError(
            "`init` makes the folders `manifests` and `state`, and its pipelines look only there: leave `--manifests` "
            "and `--state` away"
        )


def _pipeline(root: Path, ci: str | None, spec: str | None) -> Pipeline | None:
    from reconciler import package, scaffold
    from reconciler.views.escape import for_terminal

    if ci is None and spec is None:
        return None
    if ci is None:
        raise click.UsageError("--package says what a pipeline installs: give `--ci github` or `--ci gitlab` as well")
    if spec is None:
        origin = package.installed_from()
        hint = f" This installation is `{origin}`." if origin else ""
        raise click.UsageError(
            f"--ci needs --package SPEC: the pipeline, at the top of the repository, holds credentials, so a person "
            f"says what it installs. Take {package.KINDS}.{hint}"
        )
    try:
        return scaffold.Pipeline(ci, package.installation(spec, root, scaffold.top_of(root) or root))
    except ValueError as error:
        raise click.BadParameter(for_terminal(str(error)), param_hint="--package") from error
