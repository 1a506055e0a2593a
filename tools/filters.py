"""SITELLE's filters, and the angle at which each spaxel looks through the interferometer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]

_FLANK = 18.0  # [cm-1]: half the light passes 27 cm-1 outside the band, as measured for SN1 and SN3


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of SITELLE: its band [nm] and the mirror step [nm] and folding order it takes."""

    low_nm: float
    high_nm: float
    step_nm: float
    order: int

    @property
    def band(self) -> tuple[float, float]:
        """Band [cm-1]."""
        return 1e7 / self.high_nm, 1e7 / self.low_nm

    def place(self, wavenumber: Array) -> Array:
        """Position in the band, -1 at its lower edge, 1 at its upper."""
        low, high = self.band
        return (wavenumber - 0.5 * (low + high)) / (0.5 * (high - low))

    def transmission(self, wavenumber: Array) -> Array:
        """Transmission of a flat filter with edges that fall off outside its band."""
        low, high = self.band
        rise = erf((wavenumber - low) / _FLANK + 1.5)
        fall = erf((high - wavenumber) / _FLANK + 1.5)
        return 0.25 * (1.0 + rise) * (1.0 + fall)


FILTERS: Mapping[str, Filter] = {
    "SN1": Filter(362.6, 385.6, 1647.0, 8),
    "SN2": Filter(479.8, 513.2, 1680.0, 6),
    "SN3": Filter(647.7, 685.0, 2943.025792, 8),
    "SN4": Filter(652.5, 664.0, 5304.168, 15),
    "C1": Filter(385.4, 485.2, 570.0, 2),
    "C2": Filter(559.3, 625.5, 1680.0, 5),
    "C3": Filter(511.0, 555.4, 1785.0, 6),
    "C4": Filter(798.5, 823.4, 5271.5, 12),
}

# Off-axis geometry of a 2048 x 2064 detector, in pixels: theta grows from 11.8 degrees at the edge
# next to the optical axis to 19.6 at the far corners, as the laser maps of SITELLE do.
_DETECTOR = (2048.0, 2064.0)
_FOCAL_LENGTH = 14618.0
_AXIS_X = -3054.0


def off_axis_corr(u: Array, v: Array) -> Array:
    """1 / cos(theta) at a position in the field, 0 to 1 along x and y."""
    x = u * _DETECTOR[0] - _AXIS_X
    y = (v - 0.5) * _DETECTOR[1]
    return np.sqrt(1.0 + (x * x + y * y) / _FOCAL_LENGTH**2)
