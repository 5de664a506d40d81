"""Names for arrays by what they hold. The axis and the unit stand where an array is defined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.int32]
Counts = NDArray[np.int32]
Hashes = NDArray[np.uint64]
AnyArray = NDArray[Any]
