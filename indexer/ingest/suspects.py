"""Which claimed assets to work on when one of them may have killed its workers.

Pure functions of records; knows no queue and no process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.catalog.records import AssetRecord

TRUSTED_TAKEOVERS = 1  # a file whose workers fell silent more often is worked on alone


def is_suspect(asset: AssetRecord) -> bool:
    """Whether it has to be worked on alone, so that it gives itself away."""
    return asset.takeovers > TRUSTED_TAKEOVERS


@dataclass(frozen=True)
class Chosen:
    """Which claimed assets to work on, and which to hand back."""

    take: Sequence[AssetRecord] = ()
    back: Sequence[AssetRecord] = ()  # handed back, for later
    given_up: Sequence[AssetRecord] = ()
    alone: bool = False  # nothing else may be worked on beside it


def choose(claimed: Sequence[AssetRecord], max_attempts: int, *, busy: bool, has_room: bool = True) -> Chosen:
    """Take all, unless one is suspected of killing its workers: then that one by itself, or nothing yet.

    A worker that has no room takes no suspect: if it died, nobody could tell whether for the file or for want of room.

    When a worker dies, everything that it had claimed fails with it. Worked on alone, the file at fault
    gives itself away, and the others are not blamed.
    """
    given_up = [asset for asset in claimed if asset.deaths >= max_attempts]
    living = [asset for asset in claimed if asset.deaths < max_attempts]
    suspects = [asset for asset in living if is_suspect(asset)]
    if not suspects:
        return Chosen(take=living, given_up=given_up)
    if not has_room:
        return Chosen(take=[asset for asset in living if not is_suspect(asset)], back=suspects, given_up=given_up)
    if busy:
        return Chosen(back=living, given_up=given_up)
    back = [asset for asset in living if asset is not suspects[0]]
    return Chosen(take=suspects[:1], back=back, given_up=given_up, alone=True)
