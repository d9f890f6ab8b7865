"""How many of a track's packets can't be decoded. A few are nothing that anybody misses."""

from __future__ import annotations

_NOTICED_SHARE = 0.02


class PacketCount:
    """Of one track."""

    def __init__(self) -> None:
        self.good = 0
        self.in_a_row = 0  # damaged ones, up to now
        self._between = 0  # damaged ones that good ones followed

    def add(self, *, is_good: bool) -> None:
        """The next packet."""
        if is_good:
            self.good += 1
            self._between, self.in_a_row = self._between + self.in_a_row, 0
        else:
            self.in_a_row += 1

    @property
    def damaged(self) -> int:
        """All of them."""
        return self._between + self.in_a_row

    @property
    def good_share(self) -> float:
        """Of the packets up to the last good one, with which the track ends; 1 as long as nobody notices."""
        damaged = self._between / max(1, self.good + self._between)
        return 1 - damaged if damaged > _NOTICED_SHARE else 1.0
