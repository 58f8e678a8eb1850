"""A record is a claim: whether the batch that it names is the one that it describes (design.md §5).

State lines, journals, plan files and answers can be edited, swapped or wrong. So before a plan rests on a batch, and
again before anything is done to it, what Catalog shows of it is compared with the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.identity import ADDRESS_TAG, ENVIRONMENT_TAG, PROJECT_TAG, is_derived

if TYPE_CHECKING:
    from reconciler.core.batch import Observed, Record
    from reconciler.core.identity import Identity


def contradiction(identity: Identity, record: Record, observed: Observed) -> str | None:
    """What the batch is in place of what the record says, in words that follow "batch `ID` "; None when both agree."""
    if observed.datasets and record.dataset not in observed.datasets:
        names = ", ".join(f"`{name}`" for name in sorted(observed.datasets))
        return f"belongs to dataset {names}, and the record says `{record.dataset}`"
    if observed.external_id is not None and observed.external_id != record.external_id:
        return f"has external id `{observed.external_id}`, and the record says `{record.external_id}`"
    if is_derived(record.external_id, identity.project):
        return _foreign_marker(identity, record, observed)
    return None


def _foreign_marker(identity: Identity, record: Record, observed: Observed) -> str | None:
    """The same for the tags that each batch of ours carries; a moved batch keeps those of its first address."""
    shown = {
        name: next(iter(observed.tags.get(name, ())), None) for name in (PROJECT_TAG, ENVIRONMENT_TAG, ADDRESS_TAG)
    }
    for name, value in ((PROJECT_TAG, identity.project), (ENVIRONMENT_TAG, identity.environment)):
        if shown[name] != value:
            return f"is tagged `{name}: {shown[name]}`, and the record is of `{value}`"
    address = shown[ADDRESS_TAG]
    if address is None or identity.external_ids(address).generation(record.external_id) is None:
        return f"is tagged `{ADDRESS_TAG}: {address}`, which its external id `{record.external_id}` does not belong to"
    return None
