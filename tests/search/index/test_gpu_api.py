"""What Medley uses of FAISS's GPU API exists there, under these names and with these parameters.

No GPU is needed to know it: the list below was read out of the wheel of faiss-gpu-cuvs 1.15.1. The code and the twin
are held to it everywhere, and it is held to FAISS itself where a build for GPUs is installed, with a GPU or without:

    python -m venv /tmp/gpu && /tmp/gpu/bin/pip install faiss-gpu-cuvs
    FAISS_GPU_PYTHON=/tmp/gpu/bin/python python -m pytest tests/search/index/test_gpu_api.py
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.gpu_twin import FlatConfig, Resources, TwinFaiss
from support.paths import ROOT

#: name -> attributes that are set or methods that are called (of classes), or parameters by name (of functions)
USED: dict[str, list[str]] = {
    "get_num_gpus": [],
    "StandardGpuResources": ["setTempMemory"],
    "GpuIndexFlatConfig": ["device", "useFloat16", "use_cuvs"],
    "GpuIndexFlatIP": ["add", "search", "ntotal"],
    "GpuIndexIVFScalarQuantizer": ["add", "search", "ntotal"],
    "GpuIndexCagraConfig": ["device", "graph_degree", "intermediate_graph_degree"],
    "GpuIndexCagra": ["train", "search", "ntotal"],
    "SearchParametersCagra": ["itopk_size", "sel"],
    "SearchParametersIVF": ["nprobe", "sel"],
    "SearchParameters": ["sel"],
    "IDSelectorBitmap": [],
    "IndexIVFScalarQuantizer": ["by_residual", "train", "code_size"],
    "index_cpu_to_gpu": [],  # positional
    "index_cpu_to_all_gpus": [],
    "knn_gpu": ["res", "xq", "xb", "k", "metric", "device"],
}

_PROBE = """
import inspect, json, sys
import faiss
out = {}
for name in json.loads(sys.argv[1]):
    thing = getattr(faiss, name, None)
    if thing is None: continue
    out[name] = dir(thing) if inspect.isclass(thing) else list(inspect.signature(thing).parameters)
print(json.dumps(out))
"""


def build_for_gpus() -> str:
    """A Python whose FAISS is a build for GPUs, or nothing."""
    here = importlib.util.find_spec("faiss._gpu_build") is not None
    return sys.executable if here else os.environ.get("FAISS_GPU_PYTHON", "")


def test_the_list_is_true_of_the_build_for_gpus() -> None:
    python = build_for_gpus()
    if not python:
        pytest.skip("this FAISS is a build for CPUs, and FAISS_GPU_PYTHON names no other")
    out = subprocess.run([python, "-c", _PROBE, json.dumps(list(USED))], capture_output=True, text=True, check=True)
    there = json.loads(out.stdout)
    missing = [
        f"{name}.{detail}" for name, details in USED.items() for detail in details if detail not in there.get(name, [])
    ]
    assert not missing
    assert set(there) == set(USED)


def gpu_names(path: Path) -> set[str]:
    """What a module takes from `library`, `self._library` or `faiss` that has to do with GPUs."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("library", "self._library"):
            names.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and "gpu" in ast.unparse(node.args[1]):
            names.add(ast.literal_eval(node.args[1]))
    return names


@pytest.mark.parametrize("path", ["search/index/gpu.py", "search/index/stores/ivf_building.py", "benchmarks/gpu.py"])
def test_the_code_uses_nothing_else(path: str) -> None:
    names = gpu_names(ROOT / path)
    assert names
    assert names <= set(USED)


def test_one_file_knows_the_gpu_api() -> None:
    """And the one that trains: everything else asks `search/index/gpu.py`."""
    knowing = {
        path.relative_to(ROOT).as_posix()
        for folder in ("search", "indexer", "api")
        for path in (ROOT / folder).rglob("*.py")
        if any(word in path.read_text("utf-8") for word in ("get_num_gpus", "GpuResources", "knn_gpu", "cpu_to_gpu"))
    }
    assert knowing == {"search/index/gpu.py", "search/index/stores/ivf_building.py"}


def test_the_twin_has_the_same_shape() -> None:
    twin: dict[str, Any] = {name: getattr(TwinFaiss, name) for name in USED if hasattr(TwinFaiss, name)}
    assert set(inspect.signature(twin["knn_gpu"]).parameters) - {"self"} == set(USED["knn_gpu"])
    assert set(USED["GpuIndexFlatConfig"]) <= set(dir(FlatConfig))
    assert set(USED["StandardGpuResources"]) <= set(dir(Resources))
    assert gpu_names(ROOT / "search/index/gpu.py") - {"get_num_gpus"} <= set(twin)
