"""Known spectra for simulated X-ray observations: models by name, with their parameters drawn.

Every model is absorbed by cold gas in front of it. A parameter a model does not have is NaN in the
truth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels.plasma import PlasmaTable, gaussian_line, power_law, thermal, transmission

Array = NDArray[np.float64]

MEANING: Mapping[str, tuple[str, str]] = {
    "nH": ("1e22 cm**-2", "absorbing column"),
    "index": ("", "photon index, below the break where there is one"),
    "index_above": ("", "photon index above the break"),
    "break_energy": ("keV", "where the power law breaks"),
    "kT": ("keV", "temperature of the plasma"),
    "kT2": ("keV", "temperature of a second plasma"),
    "second": ("", "photons of the second plasma over those of the first"),
    "norm": ("as in XSPEC", "of the plasma or power law, below the break where there is one"),
    "norm2": ("as in XSPEC", "of the second plasma"),
    "abundance": ("", "of metals, in units of the Sun's"),
    "redshift": ("", "of the plasma"),
    "line_energy": ("keV", "of the first line"),
    "line_width": ("keV", "equivalent width of the first line"),
    "lines": ("", "number of lines"),
}
"""Unit and description of each parameter."""


@dataclass(frozen=True, slots=True)
class Model:
    """A spectrum with its parameters.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    parameters : dict
        By the names of `MEANING`; norms are those of `photons`.
    photons : ndarray, shape (bin,)
        In the bins of the plasma table, of any normalisation.
    """

    name: str
    parameters: dict[str, float]
    photons: Array


def draw(name: str, table: PlasmaTable, generator: np.random.Generator) -> Model:
    """Draw the parameters of a model and compute it.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    table : PlasmaTable
    generator : numpy.random.Generator
    """
    parameters = {"nH": _log(generator, 0.01, 1.0)}
    photons = MODELS[name](table, generator, parameters)
    return Model(name, parameters, photons * transmission(table, parameters["nH"]))


def _power_law(table: PlasmaTable, generator: np.random.Generator, told: dict) -> Array:
    told["index"], told["norm"] = generator.uniform(1.2, 2.6), 1.0
    return power_law(table.edges, told["index"])


def _broken(table: PlasmaTable, generator: np.random.Generator, told: dict) -> Array:
    told["index"], told["norm"] = generator.uniform(0.5, 2.2), 1.0
    told["index_above"] = told["index"] + generator.uniform(0.3, 1.5)
    told["break_energy"] = _log(generator, 1.0, 5.0)
    below = power_law(table.edges, told["index"])
    scale = told["break_energy"] ** (told["index_above"] - told["index"])
    return np.minimum(below, scale * power_law(table.edges, told["index_above"]))


def _lines(table: PlasmaTable, generator: np.random.Generator, told: dict) -> Array:
    photons = continuum = _power_law(table, generator, told)
    number = int(generator.integers(1, 5))
    told["lines"] = float(number)
    centre = 0.5 * (table.edges[1:] + table.edges[:-1])
    for place in range(number):
        energy, width = _log(generator, 0.7, 6.8), _log(generator, 0.03, 0.6)
        if place == 0:
            told["line_energy"], told["line_width"] = energy, width
        density = np.interp(energy, centre, continuum / np.diff(table.edges))
        photons = photons + gaussian_line(table.edges, energy, 0.002, density * width)
    return photons


def _thermal(table: PlasmaTable, generator: np.random.Generator, told: dict) -> Array:
    told["kT"] = _log(generator, 0.5, 10.0)
    told["abundance"] = generator.uniform(0.2, 1.0)
    told["redshift"], told["norm"] = generator.uniform(0.0, 0.4), 1.0
    return thermal(table, told["kT"], told["abundance"], told["redshift"])


def _two_temperatures(table: PlasmaTable, generator: np.random.Generator, told: dict) -> Array:
    first = _thermal(table, generator, told)
    told["kT2"], told["second"] = _log(generator, 0.3, 3.0), generator.uniform(0.1, 1.0)
    second = thermal(table, told["kT2"], told["abundance"], told["redshift"])
    told["norm2"] = float(told["second"] * first.sum() / second.sum())
    return first + second * told["norm2"]


def _log(generator: np.random.Generator, low: float, high: float) -> float:
    """Draw a number evenly in its logarithm."""
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))


MODELS: Mapping[str, Callable[[PlasmaTable, np.random.Generator, dict], Array]] = {
    "powerlaw": _power_law,
    "broken": _broken,
    "lines": _lines,
    "thermal": _thermal,
    "two-temperature": _two_temperatures,
}
