"""The OpenAPI document says everything, and the service does nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance
from support.scripted_engine import ScriptedEngine
from support.service_world import World

from search.settings import Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
#: streams that go on until the service stops; their tests are in test_api_sources.py
ENDLESS = {"/v1/events", "/v1/jobs/{job_id}/events", "/v1/saved-searches/events"}
CONTRACT = {
    ("POST", "/v1/search"),
    ("POST", "/v1/answers"),
    ("GET", "/v1/sources"),
    ("POST", "/v1/sources"),
    ("DELETE", "/v1/sources/{source_id}"),
    ("POST", "/v1/sources/{source_id}/scan"),
    ("GET", "/v1/assets"),
    ("POST", "/v1/assets"),
    ("POST", "/v1/uploads"),
    ("HEAD", "/v1/uploads/{upload_id}"),
    ("PATCH", "/v1/uploads/{upload_id}"),
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
    ("GET", "/v1/notes"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/spaces"),
    ("POST", "/v1/spaces"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("POST", "/v1/rerank"),
    ("POST", "/v2/embed"),
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
    return dict(client.get("/schema/openapi.json").json())


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


def test_every_operation_and_schema_is_named_as_in_the_code(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(ids)) == len(ids)
    assert {"search", "list_assets", "content", "head_content", "ready"} <= set(ids)
    assert not [name for name in ids if "async" in name.lower()]
    titles = [schema["title"] for schema in document["components"]["schemas"].values() if "title" in schema]
    assert len(set(titles)) == len(titles)


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


@pytest.mark.slow
def test_openapi_python_client_makes_a_client_that_works(client: httpx.Client, world: World, tmp_path: Path) -> None:
    """What it generates imports whole, and searches."""
    world.picture("a.png", "green")
    (tmp_path / "openapi.json").write_text(client.get("/schema/openapi.json").text)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"]
    command += ["--output-path", "made", "--meta", "none"]
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # it calls ruff
    made = subprocess.run(command, cwd=tmp_path, env=os.environ | path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    # Pictures and files it can't describe; it then leaves out their type and nothing else.
    unclear = [line for line in made.stdout.splitlines() if line.startswith("Cannot parse")]
    assert all(re.search(r"Unsupported content_type (image/webp|\*/\*)", line) for line in unclear)
    done = subprocess.run(
        [sys.executable, "-c", USE_MADE_CLIENT, str(client.base_url).rstrip("/")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["a.png", "words"]


USE_MADE_CLIENT = """
import importlib, pkgutil, sys
import made
for module in pkgutil.walk_packages(made.__path__, "made."):
    importlib.import_module(module.name)
from made.api.compatible import list_models
from made.api.search import search
from made.models import SearchBody
client = made.Client(base_url=sys.argv[1])
found = search.sync(client=client, body=SearchBody(text="green", limit=1))
print(found.hits[0].asset.path.rpartition("/")[2])
print(list_models.sync(client=client).data[0].id)
"""


def test_the_schema_is_served_without_scripts_from_elsewhere(client: httpx.Client) -> None:
    assert client.get("/schema").headers["content-type"].startswith("application/")


@pytest.mark.slow
def test_no_request_that_the_schema_allows_breaks_the_service(world: World, client: httpx.Client) -> None:
    """Schemathesis over every operation: no server error, and no answer that is not documented."""
    asset = world.picture("a.png", "red", words="some words")
    schema = schemathesis.openapi.from_url(f"{client.base_url}/schema/openapi.json")
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if operation.path not in ENDLESS:
            fuzz(operation, str(asset))


@pytest.mark.slow
def test_no_request_that_the_schema_forbids_breaks_the_service(world: World, client: httpx.Client) -> None:
    """The same with requests that don't fit: none is a fault of ours, and each refusal is a problem document."""
    asset = world.picture("a.png", "red", words="some words")
    schema = schemathesis.openapi.from_url(f"{client.base_url}/schema/openapi.json")
    tried = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if operation.path not in ENDLESS and (len(operation.body) or len(operation.query)):
            fuzz(operation, str(asset), GenerationMode.NEGATIVE)
            tried.append(operation.label)
    assert {"POST /v1/search", "POST /v1/keys", "GET /v1/assets"} <= set(tried)


def fuzz(operation: Any, known_id: str, mode: GenerationMode = GenerationMode.POSITIVE) -> None:
    """A dozen requests that fit the schema, or don't, half of them about something that exists."""

    @hypothesis_settings(
        max_examples=12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), booleans())
    def check(case: Any, known: bool) -> None:
        for name in case.path_parameters if known else ():
            if name.endswith("_id"):
                case.path_parameters[name] = known_id
        case.call_and_validate(checks=CHECKS)

    check()
