"""What is left to do for the content of a batch (design §10), and when it needs another batch.

AEP has no call that takes a file out of a batch, and a completed batch takes no more files.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from reconciler.core.batch import Stage, StatusClass
from reconciler.core.identity import CONTENT_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.batch import Desired, File, Observed, Record

OVERDUE_MS = 3_600_000
"""Milliseconds after which a completed batch should no longer be open: then COMPLETE, though accepted, did nothing."""

TAKES_FILES = frozenset({StatusClass.OPEN, None})
"""Classes of a batch that still takes files; None: Catalog was not asked."""


def content_tag(files: Iterable[File]) -> dict[str, list[str]]:
    """The tag of a batch that is created for these files; none for a batch without."""
    lines = [f"{file.sha256} {file.name}\n" for file in files]
    return {CONTENT_TAG: [blake2b("".join(lines).encode(), digest_size=16).hexdigest()]} if lines else {}


def may_hold(observed: Observed, files: Iterable[File]) -> bool:
    """Whether a batch that another run filled, or still fills, can hold just these files; True where it has no tag."""
    made_for = observed.tags.get(CONTENT_TAG)
    return not made_for or [*made_for] == content_tag(files).get(CONTENT_TAG, [*made_for])


def needs_another_batch(
    desired: Desired, record: Record, status: StatusClass | None, found: Observed | None = None
) -> bool:
    """Whether the recorded batch cannot come to hold exactly the declared files. `status` is `decide.status_of`'s.

    `found` is what Catalog shows of a batch that another run made, and may have filled.
    """
    content = desired.content
    if content is None or (desired.complete and record.stage is Stage.COMPLETING):
        return False  # first its completion is finished: until then it is unknown whether it takes files
    if status in TAKES_FILES:
        is_for_others = found is not None and not may_hold(found, content)
        return is_for_others or not record.names <= {file.name for file in content}
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

    An open batch is taken to be empty: all files are uploaded again. Any other is taken to hold what is declared, but
    for one that was created for other files.
    """
    if observed.status_class is StatusClass.OPEN or desired.content is None:
        return record
    files = desired.content if may_hold(observed, desired.content) else ()
    return replace(record, files=files, stage=Stage.COMPLETED)
