"""Batch ids: ULIDs, as AEP uses today (aep-api.md §3.2). Pure."""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH: Final = 26
SEED_BITS: Final = 40
COUNTER_BITS: Final = 40


def ulid(milliseconds: int, seed: int, counter: int) -> str:
    """Return 26 characters: the time, then a seed and a counter in place of random bits.

    Same time, seed and counter, same id; the ids of one seed sort in the order in which they were made.
    """
    number = (milliseconds << SEED_BITS + COUNTER_BITS) | (seed % (1 << SEED_BITS) << COUNTER_BITS) | counter
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))
