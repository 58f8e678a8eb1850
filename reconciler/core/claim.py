"""A record is a claim: whether the batch that it names is the one that it describes (design.md §5).

State lines, journals, plan files and answers can be edited, swapped or wrong. So before a plan rests on a batch, and
again before anything is done to it, what Catalog shows of it is compared with the record: dataset, external id, and the
marker tags that each batch of ours carries. None of them may speak against the record, and at least one must speak for
it. A moved batch keeps the external id and the marker of its first address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.batch import StatusClass
from reconciler.core.identity import ADDRESS_TAG, ENVIRONMENT_TAG, PROJECT_TAG, ExternalIds, base_of, is_derived
from reconciler.core.wording import listed

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.core.batch import Observed, Record
    from reconciler.core.identity import Identity


def contradiction(identity: Identity, record: Record, observed: Observed) -> str | None:
    """What the batch is in place of what the record says, in words that follow "batch `ID` "; None when both agree."""
    if (
        observed.external_id == record.external_id
        and observed.tags.get(ADDRESS_TAG) == (record.address,)
        and observed.tags.get(PROJECT_TAG) == (identity.project,)
        and observed.tags.get(ENVIRONMENT_TAG) == (identity.environment,)
        and record.dataset in observed.datasets
        and record.external_id.endswith(f".{record.generation}")
    ):
        return None  # nearly always, and a refresh asks this for each batch
    if observed.is_consolidation:  # the platform's own: it has an external id and tags of its own
        return elsewhere(record.dataset, observed) or foreign_marker(identity, observed)
    return (
        elsewhere(record.dataset, observed)
        or _another_external_id(identity, record, observed)
        or _mixed(identity, (record.address,), record.external_id, first_address(observed))
        or _another_generation(identity, record)
        or foreign_marker(identity, observed)
    )


def contradiction_of_deposed(
    identity: Identity, record: Record, observed: Observed, origins: Collection[str] = ()
) -> str | None:
    """The same for a batch that the record has replaced: it must be of an earlier generation of the same address.

    `origins` are earlier names of the address. An open batch may be of another dataset, which the replacement changed;
    what is loaded there was not replaced by it.
    """
    address, external_id = first_address(observed), observed.external_id or ""
    places = {record.address, *origins}
    bases = {base_of(record.external_id), *(identity.external_ids(place).base for place in places)}
    generations = [ExternalIds(base, is_own=True).generation(external_id) for base in bases]
    generation = next(filter(None, generations), None)
    if generation is not None and generation >= record.generation:
        return f"is of generation {generation} by its external id, and the record's own is {record.generation}"
    is_here = address is not None and any(_same(address, place) for place in places)
    if generation is None and not is_here:
        return f"has {_named(observed)}, and nothing shows that it is an earlier one of this address"
    is_open = observed.status_class is StatusClass.OPEN
    problem = None if is_open else elsewhere(record.dataset, observed)
    return problem or _mixed(identity, places, external_id, address) or foreign_marker(identity, observed)


def foreign_marker(identity: Identity, observed: Observed) -> str | None:
    """Whose the batch is by its tags, when another project or environment made it; None when none says so."""
    for name, own in ((PROJECT_TAG, identity.project), (ENVIRONMENT_TAG, identity.environment)):
        shown = observed.tags.get(name, ())
        if shown and not any(_same(value, own) for value in shown):
            return f"is tagged `{name}: {shown[0]}`, and this is `{own}`"
    return None


def elsewhere(dataset: str, observed: Observed) -> str | None:
    """Where the batch is, in words that follow "batch `ID` "; None when it is in this dataset, or none is shown."""
    if not observed.datasets or dataset in observed.datasets:
        return None
    names = listed(sorted(observed.datasets))
    return f"belongs to dataset {names}, not to `{dataset}`"


def first_address(observed: Observed) -> str | None:
    """The address at which the batch was created, as its tag says: untrusted text."""
    return next(iter(observed.tags.get(ADDRESS_TAG, ())), None)


def _another_generation(identity: Identity, record: Record) -> str | None:
    generation = identity.external_ids(record.address).generation(record.external_id)
    if generation in {None, record.generation}:
        return None
    return f"is of generation {generation} by its external id, and the record says {record.generation}"


def _another_external_id(identity: Identity, record: Record, observed: Observed) -> str | None:
    """Where the batch's external id is not the recorded one; AEP's default for it is the batch's id.

    A sandbox that does not keep ours (unverified: aep-api.md §4) leaves the marker to say whose the batch is.
    """
    if observed.external_id == record.external_id:
        return None
    if observed.external_id in {None, observed.id}:
        address = first_address(observed)
        is_marked = all(observed.tags.get(name) for name in (PROJECT_TAG, ENVIRONMENT_TAG))
        is_here = address is not None and (
            _same(address, record.address) or identity.external_ids(address).generation(record.external_id) is not None
        )
        if record.external_id == observed.id or (is_marked and is_here):
            return None
    return f"has {_named(observed)}, and the record says `{record.external_id}`"


def _mixed(identity: Identity, places: Collection[str], external_id: str, address: str | None) -> str | None:
    """What is wrong where an external id that we derive stands beside the tag of an address that it is not of."""
    if address is None or not is_derived(external_id, identity.project):
        return None
    place = next((each for each in places if _same(address, each)), address)
    if identity.external_ids(place).generation(external_id) is not None:
        return None
    return f"is tagged `{ADDRESS_TAG}: {address}`, which its external id `{external_id}` is not of"


def _named(observed: Observed) -> str:
    return "no external id" if observed.external_id is None else f"external id `{observed.external_id}`"


def _same(shown: str, own: str) -> bool:
    """Whether a tag is what we wrote: it may come back trimmed, or in lower case."""
    return shown.strip().casefold() == own.casefold()
