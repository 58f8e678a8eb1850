"""The cheapest set of reads of Catalog that a plan can rest on. Is given the Catalog alone: it cannot change anything.

refresh      reads, plans, and reads on until the plan rests on nothing unread
full         lists every batch of the datasets, or those of the targets
incremental  asks what changed since a bookmark, and counts the rest
reading      what both have read so far, and how they look for what is missing
"""

from reconciler.refresh.reading import RefreshRequest
from reconciler.refresh.refresh import Refreshed, refresh

__all__ = ["RefreshRequest", "Refreshed", "refresh"]
