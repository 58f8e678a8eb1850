"""What is left to do for the content of a batch (design §10), and when it needs another batch.

AEP has no call that takes a file out of a batch, and a completed batch takes no more files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.batch import Stage, StatusClass

if TYPE_CHECKING:
    from reconciler.core.batch import Desired, Observed, Record

OVERDUE_MS = 3_600_000
"""Milliseconds after which a completed batch should no longer be open: then COMPLETE, though accepted, did nothing."""

TAKES_FILES = frozenset({StatusClass.OPEN, None})
"""Classes of a batch that still takes files; None: Catalog was not asked."""


def needs_another_batch(desired: Desired, record: Record, status: StatusClass | None) -> bool:
    """Whether the recorded batch cannot come to hold exactly the declared files. `status` is `decide.status_of`'s."""
    content = desired.content
    if content is None or (desired.complete and record.stage is Stage.COMPLETING):
        return False  # first its completion is finished: until then it is unknown whether it takes files
    if status in TAKES_FILES:
        return not record.names <= {file.name for file in content}
    return content != record.files


def target(desired: Desired, record: Record, status: StatusClass | None) -> Record:
    """The record once its batch holds the declared files, and is completed if that is declared."""
    content = desired.content
    if content is not None and status in TAKES_FILES and record.stage is Stage.OPEN:
        record = replace(record, files=content, begun=())
    return replace(record, stage=Stage.COMPLETED) if desired.complete else record


def is_overdue(record: Record, observed: Observed | None, now: int | None) -> bool:
    """Whether a completed batch stays open for too long; `now` is epoch milliseconds by AEP's clock."""
    if record.stage is not Stage.COMPLETED or observed is None or observed.status_class is not StatusClass.OPEN:
        return False
    stamps = [stamp for stamp in (observed.created, observed.updated) if stamp is not None]
    return bool(stamps) and now is not None and now - max(stamps) > OVERDUE_MS


def with_content_of(before: Record | None, after: Record) -> Record:
    """The planned record with the content that its batch has now: that of the record before, or none."""
    if before is None:
        return replace(after, files=(), begun=(), stage=Stage.OPEN)
    return replace(after, files=before.files, begun=before.begun, stage=before.stage)


def with_observed_content(desired: Desired, observed: Observed, record: Record) -> Record:
    """The record of a batch that was found, not created. Catalog does not list its files.

    An open batch is taken to be empty: all files are uploaded again. Any other is taken to hold what is declared.
    """
    if observed.status_class is StatusClass.OPEN or desired.content is None:
        return record
    return replace(record, files=desired.content, stage=Stage.COMPLETED)
