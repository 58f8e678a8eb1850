"""What stops a command, as one small tree of exceptions. They carry text and core values only, never a secret.

    ReconcilerError            summary, detail, hint; exit_code
    ├ ManifestInvalid          carries the diagnostics
    ├ SettingsInvalid          a flag or an environment variable is missing or wrong
    ├ StateError: StateCorrupt · StateFromFuture · StateMismatch · StoreFailed
    ├ LockHeld                 says who, where, since when
    ├ ContentChanged           a data file is not what it was when its fingerprint was taken
    ├ LoadFailed               AEP did not load a completed batch
    ├ PlatformError: Rejected (NotFound · Unauthorized) | Throttled | OutcomeUnknown
    └ Refused                  beyond the limits or the approved plan; ambiguous

Mistakes in manifests are values (`Diagnostic`), and so is an incomplete apply (`Applied`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.core.diagnostics import Diagnostic


class ExitCode(IntEnum):
    """What a command tells the shell (design.md §9)."""

    OK = 0
    ERROR = 1
    CHANGES = 2
    PARTIAL = 3
    REFUSED = 4
    LOCKED = 5
    USAGE = 64
    INTERRUPTED = 130


class ReconcilerError(Exception):
    """Anything that ends a command: one summary, an optional detail, and what to do next."""

    exit_code: ExitCode = ExitCode.ERROR

    def __init__(self, summary: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail
        self.hint = hint


class ManifestInvalid(ReconcilerError):
    """The manifests have mistakes: all of them are in `diagnostics`."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("the manifests are not valid")
        self.diagnostics = diagnostics


class SettingsInvalid(ReconcilerError):
    """A flag, an environment variable or a credential is missing or wrong."""


class StateError(ReconcilerError):
    """The state directory cannot be used as it is."""


class StateCorrupt(StateError):
    """A state file or journal is damaged; nothing in it is trusted and nothing is repaired by guess."""


class StateFromFuture(StateError):
    """The file was written by a newer reconciler."""


class StateMismatch(StateError):
    """The state belongs to another project, environment, organisation or sandbox, or contradicts its journal."""


class StoreFailed(StateError):
    """The disk did not take a write: full, read-only, not permitted, or a failing fsync."""


class LockHeld(ReconcilerError):
    """Another run holds the state."""

    exit_code = ExitCode.LOCKED


class ContentChanged(ReconcilerError):
    """A data file is gone, or not what it was when its fingerprint was taken: nothing of it is trusted."""


class LoadFailed(ReconcilerError):
    """AEP did not load a completed batch: its errors are in `detail`."""


class PlatformError(ReconcilerError):
    """AEP (or IMS) did not do what was asked."""

    def __init__(
        self,
        summary: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(summary, detail=detail, hint=hint)
        self.status = status
        self.request_id = request_id
        """The service's own name for the request, for a support ticket."""


class Rejected(PlatformError):
    """A definite no: the request had no effect."""


class NotFound(Rejected):
    """404: there is no such object in this sandbox."""


class Conflict(Rejected):
    """409 or 412: the object is there already, or is not what it was when it was read."""


class Unauthorized(Rejected):
    """401 or 403: a wrong credential, key, organisation or sandbox. Never drift."""


class NeverSent(PlatformError):
    """No connection could be made: the request provably had no effect."""


class Throttled(PlatformError):
    """429 until the deadline: the request was not served."""


class OutcomeUnknown(PlatformError):
    """A request was sent and no verdict came back: it may have had its effect."""


class Refused(ReconcilerError):
    """The plan goes beyond what is allowed: limits, the approved plan, or an ambiguity only a person can settle."""

    exit_code = ExitCode.REFUSED
