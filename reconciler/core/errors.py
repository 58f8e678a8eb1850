"""What stops a command, as one small tree of exceptions. They carry text and core values only, never a secret.

    ReconcilerError        summary, detail, hint; exit_code
    ├ ManifestInvalid      carries the diagnostics
    ├ SettingsInvalid      a flag or an environment variable is missing or wrong
    ├ StateError           the state directory cannot be used as it is
    │ ├ StateCorrupt       damaged
    │ ├ StateFromFuture    written by a newer version
    │ ├ StateMismatch      of another project, environment or sandbox
    │ └ StoreFailed        the disk did not take a write
    ├ LockHeld             another run holds the state: who, where, since when
    ├ ContentChanged       a data file is not what it was when its fingerprint was taken
    ├ LoadFailed           AEP did not load a completed batch
    ├ PlatformError        AEP or IMS did not do what was asked
    │ ├ Rejected           a definite no: it had no effect
    │ │ ├ NotFound         404
    │ │ ├ ConflictingWrite 409, 412
    │ │ └ Unauthorized     401, 403
    │ ├ NeverSent          no connection: it had no effect
    │ ├ Throttled          429 until the deadline: it had no effect
    │ └ OutcomeUnknown     it may have had its effect
    └ Refused              beyond the limits or the approved plan, or ambiguous

Mistakes in manifests are values (`Diagnostic`), and so is an incomplete apply (`Applied`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.core.diagnostics import Diagnostic


class ExitCode(IntEnum):
    """The exit codes of a command (design.md §9)."""

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
    """The manifests have mistakes; `diagnostics` holds all of them."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("the manifests are not valid")
        self.diagnostics = diagnostics


class SettingsInvalid(ReconcilerError):
    """A flag, an environment variable or a credential is missing or wrong."""


class StateError(ReconcilerError):
    """The state directory cannot be used as it is."""


class StateCorrupt(StateError):
    """A state file or journal is damaged, or contradicts the other: nothing is trusted or repaired by guessing."""


class StateFromFuture(StateError):
    """The file was written by a newer reconciler."""


class StateMismatch(StateError):
    """The state belongs to another project, environment, organisation or sandbox, or is not what Catalog shows."""


class StoreFailed(StateError):
    """A write to the disk failed: it is full or read-only, the write is not permitted, or an fsync failed."""


class LockHeld(ReconcilerError):
    """Another run holds the state."""

    exit_code = ExitCode.LOCKED


class ContentChanged(ReconcilerError):
    """A data file is gone, or is not what it was when its fingerprint was taken: its content is not trusted."""


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
        """The service's own id of the request, for a support ticket."""


class Rejected(PlatformError):
    """A definite no: the request had no effect."""


class NotFound(Rejected):
    """404: there is no such object in this sandbox."""


class ConflictingWrite(Rejected):
    """409 or 412: the object is there already, or is not what it was when it was read."""


class Unauthorized(Rejected):
    """401 or 403: a wrong credential, key, organisation or sandbox. It says nothing about what exists: never drift."""


class NeverSent(PlatformError):
    """No connection could be made, so the request had no effect."""


class Throttled(PlatformError):
    """429 until the deadline: the request had no effect."""


class OutcomeUnknown(PlatformError):
    """A request was sent and no verdict came back: it may have had its effect or not."""


class Refused(ReconcilerError):
    """More than the limits or the approved plan allow, or an ambiguity that only a person can decide."""

    exit_code = ExitCode.REFUSED
