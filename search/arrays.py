"""Names for NumPy arrays by the type of their numbers. Shapes are given where an array is taken or returned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
UInt8Array = NDArray[np.uint8]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
IntArray = NDArray[np.signedinteger]  # int32 or int64: slots, offsets
FloatArray = NDArray[np.floating]  # any precision: rows as they are stored
