"""A field filled from a library of simulated spectra: a cube too large to simulate one by one."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .filters import off_axis_corr
from .observing import Conditions, Slab, observe
from .spectrographs import Instrument


class Library:
    """`size` simulated spectra, spread over the field; each spaxel gets the one of nearest angle.

    Spectra, line widths and truth agree to the last digit, because the spaxel takes over the angle
    of its spectrum as well: off by the range of 1 / cos(theta) over `size` at most, or so.
    """

    def __init__(self, instrument: Instrument, conditions: Conditions, size: int) -> None:
        nx, ny = self._shape = conditions.shape
        rng = np.random.default_rng([conditions.seed, 0x711E])  # a stream apart from the spaxels'
        place = rng.choice(nx * ny, size=min(size, nx * ny), replace=False)
        x, y = (place // ny).astype(np.int32), (place % ny).astype(np.int32)
        corr = self._corr(x, y)
        order = np.argsort(corr, kind="stable")
        self._slab = observe(instrument, conditions, x[order], y[order])
        self._between = 0.5 * (corr[order][1:] + corr[order][:-1])

    def _corr(self, x: NDArray[np.int32], y: NDArray[np.int32]) -> NDArray[np.float64]:
        return off_axis_corr((x + 0.5) / self._shape[0], (y + 0.5) / self._shape[1])

    def __call__(self, x: NDArray[np.int32], y: NDArray[np.int32]) -> Slab:
        """Pick the spectra for the spaxels at these positions."""
        slab = self._slab.take(np.searchsorted(self._between, self._corr(x, y)))
        return replace(slab, truth={**slab.truth, "x": x, "y": y})
