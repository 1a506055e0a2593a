"""One spectrum and its fit, as a picture needs them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Explained:
    """One spectrum and its fit, for a picture; NaN outside the windows that were fitted.

    All but `table` and `kind` have shape (channel,).
    """

    coordinate: Array  # [cm-1 or angstrom]
    kind: str  # wavenumber, air or vacuum
    data: Array
    model: Array
    continuum: Array
    noise: Array
    table: pa.RecordBatch  # the row, alone
