"""A command that can't work in the address space that it may take says so, before a library dies of it in silence."""

from __future__ import annotations

import resource

from search.errors import MedleyError

_GIB = 1024**3
# By command, in GiB of address space (which is several times what is used of memory): measured with `ulimit -v`.
_MODELS = 4.0
_NEEDED = {
    **dict.fromkeys(("index", "worker"), _MODELS),
    **dict.fromkeys(("search", "ask", "saved", "duplicates", "serve", "encode", "eval", "audit"), 1.4),
}


def check(command: str) -> None:
    """Raise MedleyError where this process may not take what the command needs."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = _NEEDED.get(command, 0.0)
    if allowed != resource.RLIM_INFINITY and allowed < needed * _GIB:
        raise MedleyError(
            f"medley {command} needs {needed:g} GB of address space, and this process may take {allowed / _GIB:.1f} "
            "(ulimit -v): raise the limit; to bound memory itself, use a control group (systemd's MemoryMax)"
        )
