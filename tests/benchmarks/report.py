"""Costs as a table: each phase beside its floor, and the ratio of the two, which is the result. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.benchmarks.measure import Cost

SMALLEST_FLOOR = 0.01
"""Seconds: a ratio to less says nothing."""

COLUMNS = ("phase", "seconds", "floor", "ratio", "peak MiB", "floor", "written", "fsyncs", "calls")


@dataclass
class Measured:
    """All that one project of one size cost."""

    shape: str
    size: int
    phases: list[Cost]
    floors: dict[str, Cost]
    commands: list[Cost] = field(default_factory=list)

    def ratio(self, phase: Cost) -> float | None:
        """How many times as long as its floor a phase took: by request where both made some, else by time."""
        floor = self.floors.get(phase.name)
        if floor is None or floor.seconds < SMALLEST_FLOOR:
            return None
        if phase.calls and floor.calls:
            return (phase.seconds / phase.calls) / (floor.seconds / floor.calls)
        return phase.seconds / floor.seconds

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "shape": self.shape,
            "size": self.size,
            "phases": [{**each.to_json(), "ratio": self.ratio(each)} for each in self.phases],
            "floors": {name: each.to_json() for name, each in self.floors.items()},
            "commands": [each.to_json() for each in self.commands],
        }


def table(measured: Measured) -> Iterator[str]:
    """The rows of one project, under its name."""
    yield f"{measured.shape}, {measured.size:,} batches"
    alone = measured.floors.keys() - {each.name for each in measured.phases}
    rows = [_row(measured, each) for each in measured.phases]
    rows += [_alone(name, measured.floors[name]) for name in sorted(alone)]
    yield from _aligned([COLUMNS, *rows])
    for each in measured.phases:
        for name, value in each.notes.items():
            yield (
                f"    {each.name}: {name} {value:,.3g}"
                if isinstance(value, float)
                else f"    {each.name}: {name} {value}"
            )
    if measured.commands:
        rows = [(each.name, f"{each.seconds:.2f}", f"{each.peak_mib:.0f}") for each in measured.commands]
        yield from _aligned([("command", "seconds", "peak MiB"), *rows])
    yield ""


def _row(measured: Measured, phase: Cost) -> tuple[str, ...]:
    floor, ratio = measured.floors.get(phase.name), measured.ratio(phase)
    return (
        phase.name,
        f"{phase.seconds:.3f}",
        f"{floor.seconds:.3f}" if floor else "",
        f"{ratio:.2f}" if ratio is not None else "",
        f"{phase.peak_mib:.0f}",
        f"{floor.peak_mib:.0f}" if floor else "",
        f"{phase.written:,}" if phase.written else "",
        f"{phase.fsyncs:,}" if phase.fsyncs else "",
        f"{phase.calls:,}" if phase.calls else "",
    )


def _alone(name: str, floor: Cost) -> tuple[str, ...]:
    """A floor that no phase has for itself, such as the fsyncs that an apply hides behind its requests."""
    return (
        name,
        "",
        f"{floor.seconds:.3f}",
        "",
        "",
        f"{floor.peak_mib:.0f}",
        f"{floor.written:,}",
        f"{floor.fsyncs:,}",
        "",
    )


def _aligned(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        yield f"  {first:<{widths[0]}}  {'  '.join(cells)}".rstrip()
