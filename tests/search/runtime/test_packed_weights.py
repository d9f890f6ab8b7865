"""Weights in int8: what is read back is near what was stored, and stored again it is the same."""

from __future__ import annotations

import numpy as np
import pytest

from search.runtime.packed_weights import pack, unpack


@pytest.mark.parametrize("shape", [(64, 300), (300, 64), (32, 16, 24)])
def test_a_matrix_comes_back_within_half_a_step_of_its_scale(shape: tuple[int, ...]) -> None:
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    stored = pack({"a": matrix})
    assert stored["a"].dtype == np.int8
    assert np.abs(unpack(stored)["a"] - matrix).max() <= 0.51 * np.abs(matrix).max() / 127


def test_what_was_read_back_is_stored_as_it_was() -> None:
    matrix = np.random.default_rng(1).standard_normal((80, 90)).astype(np.float32)
    once = pack({"a": matrix})
    again = pack(unpack(once))
    assert all(np.array_equal(once[name], again[name]) for name in once)


def test_small_tensors_and_whole_numbers_keep_their_values() -> None:
    ids = np.arange(9000, dtype=np.int64)
    held: dict[str, np.ndarray] = {
        "few": np.array([0.5, -2.0], np.float32),
        "ids": ids,
        "none": np.zeros((70, 70)),
    }
    back = unpack(pack(held))
    assert back["few"].tolist() == [0.5, -2.0]
    assert back["ids"].dtype == np.int32
    assert np.array_equal(back["ids"], ids)
    assert not back["none"].any()


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e8])
def test_what_a_scale_can_not_reach_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="too large"):
        pack({"a": np.full((80, 80), value, np.float32)})
