"""What an attack did, what had to hold, and what did not."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

HEADER = ("attack", "on", "how much", "seconds", "what had to hold", "broken")


class Row(Struct, frozen=True, kw_only=True):
    """The outcome of one attack."""

    attack: str
    on: str  # which database or part
    amount: str
    seconds: float
    promise: str
    broken: tuple[str, ...]  # empty: the promise held


def table(rows: Iterable[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [HEADER, ("---",) * len(HEADER)]
    for row in rows:
        broken = "; ".join(row.broken) or "nothing"
        lines.append((row.attack, row.on, row.amount, f"{row.seconds:.0f}", row.promise, broken))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
