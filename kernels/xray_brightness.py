"""How many counts a plasma of norm one expects, as a smooth function of its parameters.

Counts tell the norm of a source far better than anything else of it, but only together with all
else, along a ridge of equal counts. Samplers draw the counts instead (`xray_prior`), and need to
know them before a spectrum is folded. Emission is linear in abundance, so that

    counts / norm = P(kT, nH) + abundance M(kT, nH),

two surfaces that are tabulated once and interpolated by bicubic splines; of two plasmas it is the
sum of both, and a power law beside one has a surface of its own, over index and column. What the
interpolation misses is no error of the posterior, only of its coordinate.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from .xray_fold import Folding
from .xray_model import ranges

Array = NDArray[np.float64]

_TEMPERATURES, _COLUMNS = 24, 12  # of the table, even in their logarithms
_INDICES = 12
_LEAST = 1e-4  # of the counts without metals, below which those of the metals are not taken
_NONE = -600.0  # ln of a second norm that is none


class Brightness:
    """Counts expected for a norm of one, of each norm there is.

    Parameters
    ----------
    folding : Folding
        Of one plasma or two, or a plasma and a power law.

    Attributes
    ----------
    range : ndarray, shape (norm, 2)
        Least and greatest of `log_counts`.
    """

    def __init__(self, folding: Folding) -> None:
        names = folding.model.names
        self._kT, self._Z, self._nH = (names.index(one) for one in ("kT", "abundance", "nH"))
        self._second = (names.index("kT2"), names.index("second")) if "kT2" in names else None
        self._index = names.index("index") if "index_norm" in names else None
        high = ranges(folding.model)[1]
        none = {name: _NONE for name in ("second", "index_norm") if name in names}
        bare, with_metals = (
            _surface(folding, "kT", _TEMPERATURES, none | {"abundance": metals})
            for metals in (0.0, 1.0)
        )
        metals = np.maximum(with_metals - bare, _LEAST * bare)
        self._bare, self._metals = (_spline(folding, "kT", np.log(part)) for part in (bare, metals))
        most = bare + folding.model.parameters[self._Z].high * metals
        more = 0.0 if self._second is None else np.logaddexp(0.0, high[self._second[1]])
        found = [(np.log(bare.min()), np.log(most.max()) + more)]
        if self._index is not None:
            power = np.log(_surface(folding, "index", _INDICES, {"norm": _NONE}))
            self._power = _spline(folding, "index", power)
            found.append((power.min(), power.max()))
        self.range = np.array(found)

    def log_counts(self, coordinates: Array) -> Array:
        """Give ln of the counts expected for a norm of one, shape (point, norm)."""
        found = self._plasma(coordinates, self._kT)
        if self._second is not None:
            cool, second = self._second
            cooler = coordinates[:, second] + self._plasma(coordinates, cool)
            found = np.logaddexp(found, cooler)
        if self._index is None:
            return found[:, None]
        power = self._power.ev(coordinates[:, self._index], coordinates[:, self._nH])
        return np.stack([found, power], axis=1)

    def _plasma(self, coordinates: Array, temperature: int) -> Array:
        """Give that of one plasma."""
        place = coordinates[:, temperature], coordinates[:, self._nH]
        metals = self._metals.ev(*place) + np.log(np.maximum(coordinates[:, self._Z], 1e-9))
        return np.logaddexp(self._bare.ev(*place), metals)


def _axes(folding: Folding, name: str, number: int) -> tuple[Array, Array]:
    """Give nodes of a parameter and of the column, even in their coordinates."""
    low, high = ranges(folding.model)
    places = (folding.model.names.index(one) for one in (name, "nH"))
    first, column = (
        np.linspace(low[place], high[place], size)
        for place, size in zip(places, (number, _COLUMNS), strict=True)
    )
    return first, column


def _surface(folding: Folding, name: str, number: int, held: dict[str, float]) -> Array:
    """Give the counts over a parameter and the column, all other coordinates zero or held."""
    names = folding.model.names
    points = np.zeros((number, _COLUMNS, len(names)))
    for other, value in held.items():
        points[..., names.index(other)] = value
    axes = np.meshgrid(*_axes(folding, name, number), indexing="ij")
    points[..., names.index(name)], points[..., names.index("nH")] = axes
    # Where members have norms of their own, that of the model is the first one's.
    place = folding.places[0] if folding.model.factors else slice(None)
    found = folding.source(points.reshape(-1, len(names)))[:, place].sum(axis=1)
    return found.reshape(number, _COLUMNS)


def _spline(folding: Folding, name: str, values: Array) -> RectBivariateSpline:
    """Interpolate a surface."""
    return RectBivariateSpline(*_axes(folding, name, len(values)), values)
