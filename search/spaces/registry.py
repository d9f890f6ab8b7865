"""From a specification to a space: the one place that knows every implementation.

Implementations are imported when they are opened, because torch and open_clip take seconds.
"""

from __future__ import annotations

from search.settings import Settings
from search.spaces.space import Space
from search.spaces.specification import ClipSpecification, Specification, StarterSpecification


def open_space(specification: Specification, settings: Settings) -> Space:
    """The space that a specification describes; models load at their first use. Raises SpaceError."""
    match specification:
        case StarterSpecification():
            from search.spaces.sound import sound_part
            from search.spaces.starter import StarterSpace

            return StarterSpace(settings, sound_part(settings))
        case ClipSpecification():
            from search.spaces.clip_space import ClipSpace

            return ClipSpace(specification, settings, open_space(StarterSpecification(), settings))


def complete(specification: Specification, settings: Settings) -> Specification:
    """Fill in what only the weights can tell; loads them once. Raises SpaceError."""
    if isinstance(specification, StarterSpecification):
        return specification
    from search.spaces.clip import inspect_model

    return inspect_model(specification, settings)
