"""The OpenAPI document says everything, and the service does nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.strategies import booleans
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance
from scripted_engine import ScriptedEngine
from service_world import World

from search.settings import Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
#: streams that go on until the service stops; their tests are in test_api_sources.py
ENDLESS = {"/v1/events", "/v1/jobs/{job_id}/events"}
CONTRACT = {
    ("POST", "/v1/search"),
    ("POST", "/v1/answers"),
    ("GET", "/v1/sources"),
    ("POST", "/v1/sources"),
    ("DELETE", "/v1/sources/{source_id}"),
    ("POST", "/v1/sources/{source_id}/scan"),
    ("GET", "/v1/assets"),
    ("POST", "/v1/assets"),
    ("GET", "/v1/assets/{asset_id}"),
    ("DELETE", "/v1/assets/{asset_id}"),
    ("GET", "/v1/assets/{asset_id}/content"),
    ("GET", "/v1/assets/{asset_id}/segments"),
    ("GET", "/v1/segments/{segment_id}/thumbnail"),
    ("GET", "/v1/segments/{segment_id}/preview"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job_id}"),
    ("GET", "/v1/jobs/{job_id}/events"),
    ("GET", "/v1/status"),
    ("GET", "/v1/failures"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/spaces"),
    ("POST", "/v1/spaces"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("POST", "/v1/rerank"),
    ("GET", "/ping"),
    ("POST", "/predict"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
}


@pytest.fixture
def world(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    world = World(settings, sqlite_url, tmp_path / "media", ScriptedEngine)
    yield world
    world.service.close()


@pytest.fixture
def document(client: httpx.Client) -> dict[str, Any]:
    return client.get("/schema/openapi.json").json()


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_of_the_contract_is_documented(document: dict[str, Any]) -> None:
    assert set(operations(document)) >= CONTRACT


def test_every_operation_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        assert operation.get("summary"), name
        assert operation.get("description"), name
        assert operation.get("tags"), name
        for status in ("400", "401", "403", "429"):
            assert status in operation["responses"], (name, status)
            assert list(operation["responses"][status]["content"]) == ["application/problem+json"], (name, status)


def test_bodies_that_handlers_read_by_themselves_are_documented(document: dict[str, Any]) -> None:
    search = document["paths"]["/v1/search"]["post"]["requestBody"]["content"]
    assert set(search) == {"application/json", "multipart/form-data"}
    assert search["application/json"]["examples"]
    named = search["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][named]["properties"]) >= {"text", "images", "sounds", "filters"}


#: their answers are long and made of what other answers show, or are not made here
WITHOUT_EXAMPLE = {"/v1/audit", "/v1/duplicates", "/v1/spaces/{name}/compare"}


def test_every_operation_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    def fits(content: dict[str, Any], where: object) -> None:
        assert "example" in content or "examples" in content, where
        shown = [content["example"]] if "example" in content else [e["value"] for e in content["examples"].values()]
        for example in shown:
            jsonschema.validate(example, {**content["schema"], "components": document["components"]})

    for name, operation in operations(document).items():
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            fits(operation["requestBody"]["content"]["application/json"], name)
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if status.startswith("2") and content and name[1] not in WITHOUT_EXAMPLE:
                fits(content, (name, status))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for piece in json.dumps(document).split('"$ref": "#/components/schemas/')[1:]:
        assert piece.split('"')[0] in schemas


def test_the_schema_is_served_without_scripts_from_elsewhere(client: httpx.Client) -> None:
    assert client.get("/schema").headers["content-type"].startswith("application/")


@pytest.mark.slow
def test_no_request_that_the_schema_allows_breaks_the_service(world: World, client: httpx.Client) -> None:
    """Schemathesis over every operation: no server error, and no answer that is not documented."""
    asset = world.picture("a.png", "red", words="some words")
    schema = schemathesis.openapi.from_url(f"{client.base_url}/schema/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path not in ENDLESS:
            fuzz(operation, str(asset))


def fuzz(operation: Any, known_id: str) -> None:
    """A dozen requests that fit the schema, half of them about something that exists."""

    @hypothesis_settings(
        max_examples=12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(), booleans())
    def check(case: Any, known: bool) -> None:
        for name in case.path_parameters if known else ():
            if name.endswith("_id"):
                case.path_parameters[name] = known_id
        case.call_and_validate(checks=CHECKS)

    check()
