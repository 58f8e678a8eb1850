"""An error as text for stderr: what, details, what to do next."""

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
    if error.detail:
        lines += [f"  {for_terminal(line)}".rstrip() for line in error.detail.splitlines()]
    if isinstance(error, PlatformError) and error.request_id:
        lines.append(f"  request id: {for_terminal(error.request_id)}")
    if error.hint:
        lines.append(f"{paint.cyan('hint:')} {for_terminal(error.hint)}")
    return "\n".join(lines)
