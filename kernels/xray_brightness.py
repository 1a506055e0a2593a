"""How many counts a plasma of norm one expects, as a smooth function of its parameters.

Counts tell the norm of a source far better than anything else of it, but only together with all
else, along a ridge of equal counts. Samplers draw the counts instead (`xray_prior`), and need to
know them before a spectrum is folded. Emission is linear in abundance, so that

    counts / norm = P(kT, nH) + abundance M(kT, nH),

two surfaces that are tabulated once and interpolated by bicubic splines; of two plasmas it is the
sum of both. What the interpolation misses is no error of the posterior, only of its coordinate.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from .xray_fold import Folding
from .xray_model import ranges

Array = NDArray[np.float64]

_TEMPERATURES, _COLUMNS = 24, 12  # of the table, even in their logarithms
_LEAST = 1e-4  # of the counts without metals, below which those of the metals are not taken
_NONE = -600.0  # ln of a second norm that is none


class Brightness:
    """Counts expected for a norm of one.

    Parameters
    ----------
    folding : Folding
        Of one plasma or two.
    """

    def __init__(self, folding: Folding) -> None:
        names = folding.model.names
        self._kT, self._Z, self._nH = (names.index(one) for one in ("kT", "abundance", "nH"))
        self._second = (names.index("kT2"), names.index("second")) if "kT2" in names else None
        low, high = ranges(folding.model)
        axes = [
            np.linspace(low[place], high[place], number)
            for place, number in ((self._kT, _TEMPERATURES), (self._nH, _COLUMNS))
        ]
        points = np.zeros((2, _TEMPERATURES, _COLUMNS, len(names)))
        points[..., self._kT], points[..., self._nH] = np.meshgrid(*axes, indexing="ij")
        if self._second is not None:
            cool, second = self._second
            points[..., cool], points[..., second] = points[..., self._kT], _NONE
        points[1, ..., self._Z] = 1.0
        # Where members have norms of their own, that of the model is the first one's.
        place = folding.places[0] if folding.model.factors else slice(None)
        found = folding.source(points.reshape(-1, len(names)))[:, place].sum(axis=1)
        bare, with_metals = found.reshape(points.shape[:-1])
        metals = np.maximum(with_metals - bare, _LEAST * bare)
        self._bare, self._metals = (
            RectBivariateSpline(axes[0], axes[1], np.log(part)) for part in (bare, metals)
        )
        most = bare + folding.model.parameters[self._Z].high * metals
        more = 0.0 if self._second is None else np.logaddexp(0.0, high[self._second[1]])
        self.range = float(np.log(bare.min())), float(np.log(most.max()) + more)

    def log_counts(self, coordinates: Array) -> Array:
        """Give ln of the counts expected for a norm of one, shape (point,)."""
        found = self._plasma(coordinates, self._kT)
        if self._second is None:
            return found
        cool, second = self._second
        return np.logaddexp(found, coordinates[:, second] + self._plasma(coordinates, cool))

    def _plasma(self, coordinates: Array, temperature: int) -> Array:
        """Give that of one plasma."""
        place = coordinates[:, temperature], coordinates[:, self._nH]
        metals = self._metals.ev(*place) + np.log(np.maximum(coordinates[:, self._Z], 1e-9))
        return np.logaddexp(self._bare.ev(*place), metals)
