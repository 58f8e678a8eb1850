"""Measures every phase of a run beside its floor: `python -m tests.benchmarks [--sizes 1000,10000] [--json FILE]`.

Each project is measured in a process of its own, each floor in another, one after the other; the server has one too.
Ratios are the result: seconds are those of this machine at this moment.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.inputs import SHAPES, write_project
from tests.benchmarks.measure import Cost, run_measured
from tests.benchmarks.report import Measured, table
from tests.benchmarks.server import served

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 5
"""Runs of a command that takes no time, of which the fastest counts."""


def measure(root: Path, shape: str, size: int, arguments: argparse.Namespace, paced: float) -> Measured:
    """All phases, floors and commands of one project."""
    write_project(root, shape, size)
    width = ("--parallelism", arguments.parallelism, "--most", arguments.most_creates)
    phases = _child("phases", root, *width, "--paced", paced)
    floors = {
        name: cost
        for floor in ("parse", "load", "plan", "render", "commit")
        for name, cost in _floor(floor, root).items()
    }
    with served(root / "state" / "bench.jsonl") as url:
        floors |= _floor("refresh", root, "--url", url, *width)
    with served() as url:
        floors |= _floor("apply", root, "--url", url, *width)
    applied = next(each for each in phases if each.name == "apply")
    floors |= _floor("fsyncs", root, "--groups", applied.fsyncs, "--written", applied.written)
    return Measured(shape, size, phases, floors, list(_commands(root)))


def _child(module: str, *arguments: object) -> list[Cost]:
    """The costs that a child process measured."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return [Cost(**fields) for fields in json.loads(ran.stdout)]


def _floor(*arguments: object) -> dict[str, Cost]:
    return {cost.name: cost for cost in _child("floors", *arguments)}


def _commands(root: Path) -> Iterator[Cost]:
    """Whole commands as a user runs them, the state being that of the phases."""
    program = [sys.executable, "-m", "reconciler"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, words in (("validate", ["validate"]), ("plan --no-refresh", ["plan", "--no-refresh"])):
        cost, code = run_measured(name, [*program, *words], root, env)
        assert code == 0, name
        yield cost
    with served(root / "state" / "bench.jsonl") as url:
        env |= {"AEP_API_URL": url, "AEP_ACCESS_TOKEN": "token", "AEP_API_KEY": "key"}
        for name, words in (
            ("plan", ["plan"]),
            ("plan again", ["plan"]),
            ("apply, nothing to do", ["apply", "--auto-approve"]),
        ):
            cost, code = run_measured(name, [*program, *words], root, env)
            assert code == 0, name
            yield cost
        _add_one(root)
        cost, code = run_measured("apply, one more batch", [*program, "apply", "--auto-approve"], root, env)
        assert code == 0
        yield cost


def _add_one(root: Path) -> None:
    extra = "dataset: extra\nid: 5c8c3c555033b814ffffffff\nbatches:\n  one-more:\n"
    (root / "manifests" / "zz-one-more.yaml").write_text(extra, encoding="utf-8")


def start_up() -> Iterator[Cost]:
    """What every command pays before it does anything."""
    for name, words in (
        ("python -c pass", ["-c", "pass"]),
        ("reconciler --version", ["-m", "reconciler", "--version"]),
        ("reconciler plan --help", ["-m", "reconciler", "plan", "--help"]),
    ):
        costs = [run_measured(name, [sys.executable, *words], ROOT, os.environ)[0] for _ in range(REPEATS)]
        yield min(costs, key=lambda cost: cost.seconds)


def main() -> None:
    """Measure what is asked for, print it as a table, write it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000", help="how many batches, with commas")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="which projects, with commas")
    parser.add_argument("--parallelism", type=int, default=8, help="requests in flight")
    parser.add_argument("--most-creates", type=int, default=10_000, help="creates of one apply")
    parser.add_argument("--paced", type=float, default=15.0, help="seconds of an apply at 2,000 creates a minute, once")
    parser.add_argument("--json", type=Path, help="where to write all numbers")
    arguments = parser.parse_args()
    started = list(start_up())
    for cost in started:
        sys.stdout.write(f"{cost.name:<24}{cost.seconds * 1000:6.0f} ms  {cost.seconds / started[0].seconds:5.2f} x\n")
    sys.stdout.write("\n")
    results: list[Measured] = []
    for size in map(int, arguments.sizes.split(",")):
        for shape in arguments.shapes.split(","):
            with tempfile.TemporaryDirectory(prefix="reconciler-benchmark-") as folder:
                paced = 0.0 if results else arguments.paced
                results.append(measure(Path(folder), shape, size, arguments, paced))
            sys.stdout.writelines(f"{line}\n" for line in table(results[-1]))
            sys.stdout.flush()
    if arguments.json:
        whole = {
            "python": platform.python_version(),
            "processors": os.cpu_count(),
            "start_up": [each.to_json() for each in started],
            "results": [each.to_json() for each in results],
        }
        arguments.json.write_text(json.dumps(whole, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
