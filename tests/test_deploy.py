"""The files that deploy Medley agree with Medley."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata, resources
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from packaging.requirements import Requirement
from support.paths import ROOT

from api.cli import COMMANDS
from search import distribution
from search.settings import Settings

OPERATIONS = ROOT / "docs" / "operations"


@pytest.fixture
def compose() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return compose


def test_compose_has_everything_that_the_operations_guide_promises(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {"postgres", "migrate", "api", "worker", "worker-gpu", "milvus", "prometheus", "grafana"} <= set(services)
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    assert services["encoders"]["profiles"] == ["encoders"]
    for name in ("api", "worker", "worker-gpu", "encoders"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert services[name]["command"][0] in COMMANDS


def interpolated(value: Any) -> Any:
    """As a client reads it: variables have their defaults, and what is a number then is one."""
    if isinstance(value, dict):
        return {key: interpolated(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner) for inner in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    plain = re.sub(r"\$\{[A-Z_]+(?::[-?]([^}]*))?\}", lambda match: match[1] or "", value)
    return int(plain) if plain.isdecimal() else plain


def newer_schema() -> dict[str, Any]:
    """The compose specification as of today, as check-jsonschema ships it."""
    file = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return dict(json.loads(file.read_text("utf-8")))


def older_schema() -> dict[str, Any]:
    """That of docker-compose 1.29.2 (Apache-2.0), the last one in Python, which Debian still has."""
    return dict(json.loads((ROOT / "tests" / "data" / "compose_spec_1.29.2.json").read_text("utf-8")))


@pytest.mark.parametrize("schema", [newer_schema, older_schema])
def test_newer_and_older_clients_parse_the_compose_file(
    compose: dict[str, Any], schema: Callable[[], dict[str, Any]]
) -> None:
    rules = schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    wrong = [
        (list(error.path), error.message) for error in Draft202012Validator(rules).iter_errors(interpolated(compose))
    ]
    assert wrong == []


def test_compose_names_only_settings_volumes_and_services_that_exist(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable in service.get("environment", {}):
            if variable.startswith("MEDLEY_"):
                assert variable.removeprefix("MEDLEY_").lower() in Settings.__struct_fields__, variable
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).is_file(), source
            elif not source.startswith("$"):
                assert source in compose["volumes"], source


def test_what_prometheus_and_the_dashboard_ask_for_exists_in_the_code() -> None:
    code = "".join(path.read_text() for path in (ROOT / "api").rglob("*.py"))
    panels = json.loads((OPERATIONS / "dashboard.json").read_text())["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    asked += " " + (OPERATIONS / "alerts.yml").read_text()
    names = set(re.findall(r"medley_\w+", asked))
    assert len(names) > 10
    for name in names:
        plain = re.sub(r"_(total|bucket|sum|count)$", "", name)
        assert f'"{plain}"' in code or f'"{name}"' in code, name


def test_the_image_is_built_from_named_versions_alone() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", dockerfile, re.M)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.M)) == {"${PYTHON_IMAGE}"}
    installs = re.findall(r"pip install (?:[^&\n]|\\\n)+", dockerfile)
    unnamed = [line for line in installs if not re.search(r"-c constraints\.txt|-r weights\.txt|faiss-gpu", line)]
    assert unnamed == []
    assert "SOURCE_DATE_EPOCH" in dockerfile


def test_every_package_that_an_installation_brings_has_its_version_in_the_constraints() -> None:
    """With all extras that the image has, as far as they are installed here."""
    named = {
        _name(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    (by_default,) = re.findall(r"^ARG EXTRAS=(.+)$", (ROOT / "Dockerfile").read_text(), re.M)
    wanted = [(_name(distribution.NAME), frozenset({*by_default.split(","), "ray", "s3"}))]
    seen: set[str] = set()
    while wanted:
        name, extras = wanted.pop()
        for text in _requirements(name):
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                child = _name(needed.name)
                if child not in seen and _requirements(child) is not None:
                    seen.add(child)
                    wanted.append((child, frozenset(needed.extras)))
    assert len(seen) > 80
    assert seen - named - {_name(distribution.NAME)} == set()


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower().strip()


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def test_the_image_is_built_with_extras_that_exist() -> None:
    provided = set(metadata.metadata(distribution.NAME).get_all("Provides-Extra") or ())
    named = re.findall(r"EXTRAS=([\w,]+)", (ROOT / "Dockerfile").read_text())
    named += re.findall(r"EXTRAS=([\w,]+)", (ROOT / "deploy" / "kubernetes" / "ray.yaml").read_text())
    assert len(named) == 3
    assert {extra for extras in named for extra in extras.split(",")} <= provided
    assert '".[${EXTRAS}]"' in (ROOT / "Dockerfile").read_text()


def test_the_image_holds_every_package_and_runs_as_nobody_special() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for package in ("search", "indexer", "api", "migrations"):
        assert f"COPY {package} {package}" in dockerfile
    assert "USER medley" in dockerfile
    assert "HEALTHCHECK" in dockerfile
