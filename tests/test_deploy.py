"""The files that deploy Medley agree with Medley."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cli import COMMANDS
from search.settings import Settings

ROOT = Path(__file__).parent.parent
OPERATIONS = ROOT / "docs" / "operations"


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_compose_has_everything_that_the_operations_guide_promises(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {"postgres", "migrate", "api", "worker", "worker-gpu", "milvus", "prometheus", "grafana"} <= set(services)
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    for name in ("api", "worker", "worker-gpu"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert services[name]["command"][0] in COMMANDS


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
    code = "".join(path.read_text() for path in (ROOT / "api").glob("*.py"))
    panels = json.loads((OPERATIONS / "dashboard.json").read_text())["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    asked += " " + (OPERATIONS / "alerts.yml").read_text()
    names = set(re.findall(r"medley_\w+", asked))
    assert len(names) > 10
    for name in names:
        plain = re.sub(r"_(total|bucket|sum|count)$", "", name)
        assert f'"{plain}"' in code or f'"{name}"' in code, name


def test_the_image_holds_every_package_and_runs_as_nobody_special() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for package in ("search", "indexer", "api", "migrations"):
        assert f"COPY {package} {package}" in dockerfile
    assert "USER medley" in dockerfile
    assert "HEALTHCHECK" in dockerfile
