"""The manifests are what Kubernetes' own schemas allow, and speak of settings, secrets and commands that exist."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.paths import ROOT

from api.cli import COMMANDS
from search.settings import Settings

FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.37"
OWN_SCHEMA = {"Kustomization", "RayCluster"}  # not of Kubernetes itself
PATCHES = {"encoders-gpu.yaml": ("encoders.yaml", "Deployment")}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document


ALL = list(documents())
OBJECTS = [(name, document) for name, document in ALL if name not in PATCHES]


def pod_templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document.get("spec", {})
    groups = [spec, spec.get("headGroupSpec", {}), *spec.get("workerGroupSpecs", [])]
    return [group["template"] for group in groups if "template" in group]


TEMPLATES = [
    pytest.param(template, id=f"{name} {document['metadata']['name']}")
    for name, document in OBJECTS
    for template in pod_templates(document)
]


def merged(base: Any, patch: Any) -> Any:
    """As Kubernetes merges: maps by key, containers by name, environments by name."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return base | {key: merged(base.get(key), value) for key, value in patch.items()}
    if isinstance(base, list) and isinstance(patch, list) and all(isinstance(item, dict) for item in [*base, *patch]):
        by_name = {item["name"]: item for item in base}
        return list((by_name | {item["name"]: merged(by_name.get(item["name"]), item) for item in patch}).values())
    return patch


@pytest.mark.parametrize(
    ("name", "document"), [pytest.param(*one, id=f"{one[0]} {one[1].get('kind')}") for one in OBJECTS]
)
def test_every_object_is_valid(name: str, document: dict[str, Any]) -> None:
    if document["kind"] not in OWN_SCHEMA:
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_the_validation_refuses_what_is_wrong() -> None:
    (deployment,) = [document for name, document in OBJECTS if (name, document["kind"]) == ("api.yaml", "Deployment")]
    wrong = merged(deployment, {"spec": {"replicas": "two"}})
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(merged(deployment, {"spec": {"replica": 2}}), VERSION, strict=True)


@pytest.mark.parametrize("template", TEMPLATES)
def test_pods_are_valid_wherever_they_stand_and_use_what_exists(template: dict[str, Any]) -> None:
    """Those inside a RayCluster, too, for which Kubernetes has no schema."""
    wrapped = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}
    kubernetes_validate.validate(wrapped, VERSION, strict=True)
    claims = {document["metadata"]["name"] for _, document in OBJECTS if document["kind"] == "PersistentVolumeClaim"}
    for volume in template["spec"].get("volumes", []):
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in claims
    mounted = {volume["name"] for volume in template["spec"].get("volumes", [])}
    for container in template["spec"]["containers"]:
        assert container["resources"]["requests"], "a pod without requests lands anywhere"
        for mount in container.get("volumeMounts", []):
            assert mount["name"] in mounted | {"data"}  # claimed by the set itself
        if container["image"] == "medley" and "args" in container:
            assert container["args"][0] in COMMANDS
        for variable in container.get("env", []):
            check_setting(variable["name"])
            if "valueFrom" in variable:
                assert variable["valueFrom"]["secretKeyRef"]["key"] in ("postgres-password", "encoder-key")


def check_setting(name: str) -> None:
    if name.startswith("MEDLEY_"):
        assert name.removeprefix("MEDLEY_").lower() in Settings.__struct_fields__, name


def test_shared_settings_exist_and_addresses_are_those_of_services() -> None:
    services = {
        document["metadata"]["name"]: {port["port"] for port in document["spec"]["ports"]}
        for _, document in OBJECTS
        if document["kind"] == "Service"
    }
    (shared,) = [document["data"] for _, document in OBJECTS if document["kind"] == "ConfigMap"]
    for name in shared:
        check_setting(name)
    Settings.load({key: value for key, value in shared.items() if key.startswith("MEDLEY_")})
    assert 19530 in services["milvus"]
    text = "".join(path.read_text() for path in FOLDER.glob("*.yaml"))
    assert "http://encoders:8100" in text
    assert 8100 in services["encoders"]
    assert "@postgres:5432/" in text
    assert 5432 in services["postgres"]


def test_every_file_is_applied_or_named_as_optional() -> None:
    kustomization = (FOLDER / "kustomization.yaml").read_text()
    applied = set(yaml.safe_load(kustomization)["resources"])
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert applied <= files
    for name in files - applied:
        assert name in kustomization, f"{name} is neither applied nor named"


def test_kustomize_renders_what_it_applies() -> None:
    """As `kubectl apply --kustomize deploy/kubernetes` would send it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    rendered = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, check=True, text=True).stdout
    applied = list(yaml.safe_load_all(rendered))
    assert {document["kind"] for document in applied} >= {"ConfigMap", "Deployment", "Job", "Service", "StatefulSet"}
    for document in applied:
        if document["kind"] not in OWN_SCHEMA:
            kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("patch", PATCHES)
def test_patches_fit_what_they_patch(patch: str) -> None:
    base_file, kind = PATCHES[patch]
    (base,) = [document for name, document in ALL if name == base_file and document["kind"] == kind]
    (change,) = [document for name, document in ALL if name == patch]
    whole = merged(base, change)
    kubernetes_validate.validate(whole, VERSION, strict=True)
    assert [item["name"] for item in whole["spec"]["template"]["spec"]["containers"]] == ["encoders"]
    for variable in change["spec"]["template"]["spec"]["containers"][0]["env"]:
        check_setting(variable["name"])


def test_replicas_of_the_api_load_no_models_and_the_encoders_ask_nobody_else() -> None:
    def variables(file: str) -> set[str]:
        (pods,) = [
            pod_templates(document)[0] for name, document in OBJECTS if (name, document["kind"]) == (file, "Deployment")
        ]
        return {variable["name"] for variable in pods["spec"]["containers"][0]["env"]}

    assert "MEDLEY_ENCODER_URL" in variables("api.yaml")
    assert "MEDLEY_ENCODER_URL" not in variables("encoders.yaml")
