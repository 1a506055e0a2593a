"""Source models of X-ray spectra, their parameters, and the ranges of the broad prior.

    apec1           transmission * norm thermal(kT, abundance)
    apec2           transmission * norm [thermal(kT, abundance) + second thermal(kT2, abundance)]
    powerlaw        transmission * norm E^-index
    apec1+powerlaw  transmission * [norm thermal(kT, abundance) + index_norm E^-index]

Norms are those of XSPEC (see `plasma`): of a plasma 1e-14 / (4 pi D_A^2 (1+z)^2) int n_e n_H dV,
of a power law photons/cm2/s/keV at 1 keV. Temperatures are in keV, abundances of the metals in
units of the table's solar ones (Anders & Grevesse 1989 in the table that is shipped), columns in
1e22 hydrogen atoms/cm2 of cold gas at redshift zero (TBabs, Wilms et al. 2000, in that table). A
model goes by the name of the usual plasma code; which code's emission it has is the table's matter.

A *coordinate* is the natural logarithm of a parameter, or the parameter itself where zero is a
value of it: fits, priors and proposals live there. The broad prior is even in the coordinates over
the ranges stated here; of two temperatures `kT` is the higher one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .plasma import PlasmaTable, power_law, thermal, transmission

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a source.

    Parameters
    ----------
    name : str
    unit : str
        "" for a number.
    low, high : float
        Range of the broad prior.
    logarithmic : bool
        Whether the coordinate is the logarithm.
    meaning : str
    """

    name: str
    unit: str
    low: float
    high: float
    logarithmic: bool
    meaning: str


KT = Parameter("kT", "keV", 0.1, 20.0, True, "temperature of the plasma, the higher of two")
ABUNDANCE = Parameter("abundance", "", 0.0, 2.0, False, "of the metals, in solar units")
NH = Parameter("nH", "1e22 cm-2", 1e-3, 10.0, True, "column of cold gas at redshift zero")
NORM = Parameter("norm", "1e-14 cm-5", 1e-8, 1e2, True, "of the plasma, as in XSPEC")
KT2 = Parameter("kT2", "keV", 0.1, 20.0, True, "the lower temperature")
SECOND = Parameter("second", "", 0.01, 10.0, True, "norm of the cooler plasma over norm")
INDEX = Parameter("index", "", -1.0, 4.0, False, "photon index of the power law")
POWER = Parameter(
    "norm", "photon/(cm2 s keV)", 1e-8, 1e2, True, "of the power law, at 1 keV as in XSPEC"
)
INDEX_NORM = Parameter(
    "index_norm", "photon/(cm2 s keV)", 1e-8, 1e2, True, "of the power law, at 1 keV as in XSPEC"
)

NORMS = "norm", "index_norm"
"""Names of the parameters that are norms of a component."""

FACTOR = Parameter("factor", "", 0.01, 100.0, True, "norm of a member over that of the first")

Emission = Callable[[PlasmaTable, Array, float], Array]


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A source behind cold gas.

    Parameters
    ----------
    name : str
        Key of `MODELS`.
    parameters : tuple of Parameter
    emission : callable
        Photons before absorption of (table, values, redshift), shape (..., bin).
    factors : int
        Of members, the last of the parameters, which the emission does not know.
    """

    name: str
    parameters: tuple[Parameter, ...]
    emission: Emission
    factors: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Give the parameters' names in their order."""
        return tuple(one.name for one in self.parameters)

    @property
    def own(self) -> int:
        """Count the parameters of the source itself."""
        return len(self.parameters) - self.factors

    def with_factors(self, members: int) -> "SourceModel":
        """Give the model with a norm of its own for each of several members."""
        more = tuple(
            replace(FACTOR, name=f"{FACTOR.name}_{number}") for number in range(2, members + 1)
        )
        own = self.parameters[: self.own]
        return replace(self, parameters=(*own, *more), factors=len(more))

    @property
    def ordered(self) -> bool:
        """Whether there are two temperatures, of which kT is the higher."""
        return "kT2" in self.names

    def photons(self, table: PlasmaTable, values: ArrayLike, redshift: float = 0.0) -> Array:
        """Give the photons as observed.

        Parameters
        ----------
        table : PlasmaTable
        values : array_like, shape (..., parameter)
            Factors may follow, or not.
        redshift : float
            Of the plasma; a power law is that observed.

        Returns
        -------
        ndarray, shape (..., bin)
            On `table.edges` [photons/cm2/s].
        """
        values = np.asarray(values, np.float64)[..., : self.own]
        column = values[..., self.names.index("nH")]
        return self.emission(table, values, redshift) * transmission(table, column)


def _one(table: PlasmaTable, values: Array, redshift: float) -> Array:
    """Give one plasma."""
    kT, abundance, _, norm = np.moveaxis(values[..., :4], -1, 0)
    return thermal(table, kT, abundance, redshift, norm)


def _two(table: PlasmaTable, values: Array, redshift: float) -> Array:
    """Give two plasmas of one abundance."""
    _, abundance, _, norm, kT2, second = np.moveaxis(values, -1, 0)
    cooler = thermal(table, kT2, abundance, redshift, norm * second)
    return _one(table, values, redshift) + cooler


def _power(table: PlasmaTable, values: Array, redshift: float) -> Array:
    """Give a power law."""
    return power_law(table.edges, values[..., 0], values[..., 2])


def _mixed(table: PlasmaTable, values: Array, redshift: float) -> Array:
    """Give a plasma and a power law."""
    return _one(table, values, redshift) + power_law(table.edges, values[..., 4], values[..., 5])


_PLASMA = KT, ABUNDANCE, NH, NORM
MODELS: Mapping[str, SourceModel] = {
    one.name: one
    for one in (
        SourceModel("apec1", _PLASMA, _one),
        SourceModel("apec2", (*_PLASMA, KT2, SECOND), _two),
        SourceModel("powerlaw", (INDEX, NH, POWER), _power),
        SourceModel("apec1+powerlaw", (*_PLASMA, INDEX, INDEX_NORM), _mixed),
    )
}


def to_coordinates(model: SourceModel, values: ArrayLike) -> Array:
    """Give the coordinates of values, shape (..., parameter)."""
    values = np.asarray(values, np.float64)
    logarithmic = _logarithmic(model)
    return np.where(logarithmic, np.log(np.where(logarithmic, values, 1.0)), values)


def to_values(model: SourceModel, coordinates: ArrayLike) -> Array:
    """Give the values of coordinates, shape (..., parameter)."""
    coordinates = np.asarray(coordinates, np.float64)
    logarithmic = _logarithmic(model)
    return np.where(logarithmic, np.exp(np.where(logarithmic, coordinates, 0.0)), coordinates)


def ranges(model: SourceModel) -> tuple[Array, Array]:
    """Give the ends of the broad prior in coordinates, each of shape (parameter,)."""
    low = np.array([one.low for one in model.parameters])
    high = np.array([one.high for one in model.parameters])
    return to_coordinates(model, low), to_coordinates(model, high)


def _logarithmic(model: SourceModel) -> NDArray[np.bool_]:
    """Tell whose coordinate is the logarithm, shape (parameter,)."""
    return np.array([one.logarithmic for one in model.parameters])
