"""An error as text for stderr: what went wrong, the details, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.errors import PlatformError
from reconciler.views.color import Palette
from reconciler.views.escape import for_terminal

if TYPE_CHECKING:
    from reconciler.core.errors import ReconcilerError


def render_error(error: ReconcilerError, *, color: bool) -> str:
    """`error: summary`, the detail indented, the service's request id if there is one, and the hint."""
    paint = Palette(color)
    lines = [f"{paint.red('error:')} {for_terminal(error.summary)}"]
    lines += [f"  {line}".rstrip() for line in detail_lines(error)]
    if request := request_id(error):
        lines.append(f"  request id: {for_terminal(request)}")
    lines += hint_lines(error.hint, paint)
    return "\n".join(lines)


def detail_lines(error: ReconcilerError, most: int | None = None) -> list[str]:
    """The lines of the error's detail, safe for a terminal; of more than `most` the first, and how many more."""
    lines = (error.detail or "").splitlines()
    left = [] if most is None or len(lines) <= most else [f"… and {len(lines) - most} more lines"]
    return [*map(for_terminal, lines[:most]), *left]


def hint_lines(hint: str | None, paint: Palette) -> list[str]:
    """The hint as one line; no line if there is no hint."""
    return [f"{paint.cyan('hint:')} {for_terminal(hint)}"] if hint else []


def request_id(error: ReconcilerError) -> str | None:
    """The service's own name for the failed request, for a support ticket."""
    return error.request_id if isinstance(error, PlatformError) else None
