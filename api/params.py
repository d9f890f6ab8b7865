"""Parameters that many handlers take, named once."""

from __future__ import annotations

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from api.service import Service

Injected = NamedDependency[Service]
Id = Annotated[str, PathParameter(description="Its id.")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.", required=False)]
PageLimit = Annotated[int, QueryParameter(ge=1, le=1000, description="Items on one page.", required=False)]
