"""The benchmark of GPUs runs from end to end, small, with a CPU in the place of the card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.gpu_twin import TwinFaiss

from benchmarks import gpu


@pytest.mark.parametrize("cuvs", [True, False])
def test_every_rival_is_compared_at_every_selectivity_and_batch(
    cuvs: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--rows", "3000", "--dimension", "32", "--rounds", "1", "--batches", "1,8", "--only", "search"]
    results = gpu.main([*arguments, "--json", str(tmp_path / "out.json")], TwinFaiss(cuvs))
    rows = results["search"]
    assert {row["index"] for row in rows} == {
        "CPU exact", "CPU lists", "GPU flat", "GPU lists", "torch product", "CAGRA"
    }  # fmt: skip
    assert {(row["filter"], row["batch"]) for row in rows} == {
        (share, batch) for share in ("none", "0.1%", "1.0%", "10.0%", "50.0%") for batch in (1, 8)
    }
    for row in rows:
        if row["index"] in ("CPU exact", "GPU flat"):
            assert row["recall@10"] == 1.0, row
        elif cuvs or row["index"] != "CAGRA":
            assert row["recall@10"] > 0.6, row
    assert "| 3000 | 50.0% | 8 | GPU flat |" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["search"] == json.loads(json.dumps(rows))


@pytest.mark.slow
def test_encoders_and_ingestion_are_set_beside_the_matrix_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--models", "ViT-S-32-alt", "--rounds", "1", "--count", "4", "--only", "encoders,ingestion"]
    results = gpu.main(arguments, TwinFaiss())
    (row,) = results["encoders"]
    assert row["images/s"] > 0
    assert row["share of the matrix rate"] > 0
    assert [item["name"] for item in results["ingestion"]["ViT-S-32-alt"]] == [
        "bare decoding", "bare encoding", "end to end"
    ]  # fmt: skip
    assert "TFLOP/s" in capsys.readouterr().out
