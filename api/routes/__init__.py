"""Every route of HTTP, one file per family; each exports its `ROUTES`."""

from api.routes import (
    answers,
    assets,
    compatible,
    duplicates,
    feedback,
    folders,
    health,
    jobs,
    keys,
    library_status,
    saved_searches,
    search,
    segments,
    session,
    sources,
    spaces,
    timeline,
    trash,
    uploads,
)

ROUTES = tuple(
    route
    for family in (
        search,
        saved_searches,
        answers,
        sources,
        folders,
        assets,
        uploads,
        segments,
        library_status,
        timeline,
        trash,
        duplicates,
        feedback,
        jobs,
        spaces,
        compatible,
        keys,
        session,
        health,
    )
    for route in family.ROUTES
)
