"""Draws X-ray spectra to train on and to test with.

Each draw gives photons on the fine bins of a plasma table, of any normalisation. The mixture is the
prior a trained network brings with it:

- clusters: MEKAL, kT 0.3-12 keV and abundance 0.05-1.2 solar, z up to 0.4, nH 5e19-5e21; one in
  four with a second temperature, one in seven with or as a power law;
- nuclei: power laws of index 0.6-3, absorbed up to 5e22, some broken, some with an iron line or
  a warm plasma;
- broken continua with lines at random energies, of equivalent width up to 1.5 keV;
- mixed: kT 0.1-20 keV, up to three temperatures, partial absorption, bent by a smooth random curve.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..kernels.plasma import PlasmaTable, gaussian_line, power_law, thermal, transmission

Array = NDArray[np.float64]

_BENDS = np.linspace(np.log(0.3), np.log(10.0), 9)  # knots of a random curve in ln E


class Sources:
    """Spectra drawn from the mixture.

    Parameters
    ----------
    table : PlasmaTable
    generator : numpy.random.Generator
    """

    def __init__(self, table: PlasmaTable, generator: np.random.Generator) -> None:
        self.table, self.generator = table, generator
        self.centre = 0.5 * (table.edges[1:] + table.edges[:-1])

    def draw(self, kind: str | None = None) -> Array:
        """Draw one spectrum.

        Parameters
        ----------
        kind : {"cluster", "nucleus", "lines", "mixed"}, optional
            One of the mixture where None.

        Returns
        -------
        ndarray, shape (bin,)
            Photons of each bin, of any normalisation.
        """
        kind = kind or str(self.generator.choice(list(KINDS), p=list(KINDS.values())))
        return _DRAW[kind](self)

    def cluster(self) -> Array:
        """Draw hot gas, at times with a second temperature or a nucleus."""
        rng = self.generator
        z = rng.uniform(0.0, 0.4) * rng.integers(0, 2)
        metal, column = rng.uniform(0.05, 1.2), self._log(0.005, 0.5)
        photons = thermal(self.table, self._log(0.3, 12.0), metal, z)
        chance = rng.random()
        if chance < 0.25:
            second = thermal(self.table, self._log(0.3, 12.0), metal, z)
            photons = _mixed(photons, second, rng.uniform(0.05, 1.5))
        elif chance < 0.4:
            nucleus = power_law(self.table.edges, rng.uniform(1.2, 2.6))
            alone = rng.random() < 0.3
            photons = nucleus if alone else _mixed(photons, nucleus, rng.uniform(0.1, 2.0))
        return photons * transmission(self.table, column)

    def nucleus(self) -> Array:
        """Draw an active nucleus."""
        rng = self.generator
        photons = self._continuum(rng.uniform(0.6, 3.0), broken=0.3)
        photons = photons * transmission(self.table, self._log(0.005, 5.0), rng.uniform(0.0, 2.0))
        if rng.random() < 0.3:
            warm = thermal(self.table, self._log(0.1, 2.0), rng.uniform(0.1, 1.2))
            photons = _mixed(photons, warm, rng.uniform(0.02, 0.5))
        if rng.random() < 0.4:
            energy = 6.4 / (1.0 + rng.uniform(0.0, 2.0))
            photons = photons + self._line(photons, energy, self._log(0.03, 1.0))
        return photons * transmission(self.table, self._log(0.005, 0.5))

    def lines(self) -> Array:
        """Draw a broken continuum with lines where none need be."""
        rng = self.generator
        if rng.random() < 0.5:
            photons = self._continuum(rng.uniform(0.5, 3.0), broken=0.7)
        else:
            photons = thermal(self.table, self._log(0.4, 12.0), 0.0)
        found = photons
        for _ in range(rng.integers(0, 9)):
            found = found + self._line(photons, self._log(0.45, 7.5), self._log(0.01, 1.5))
        return found * transmission(self.table, self._log(0.005, 1.0))

    def mixed(self) -> Array:
        """Draw several temperatures behind patchy gas, bent smoothly."""
        rng = self.generator
        z = rng.uniform(0.0, 0.4) * rng.integers(0, 2)
        photons = thermal(self.table, self._log(0.1, 20.0), rng.uniform(0.0, 2.0), z)
        for _ in range(rng.integers(0, 3)):
            other = thermal(self.table, self._log(0.1, 20.0), rng.uniform(0.0, 2.0), z)
            photons = _mixed(photons, other, self._log(0.03, 2.0))
        if rng.random() < 0.3:
            slope = power_law(self.table.edges, rng.uniform(1.0, 2.6))
            photons = _mixed(photons, slope, self._log(0.03, 2.0))
        if rng.random() < 0.3:
            covered = rng.random()
            through = transmission(self.table, self._log(0.1, 10.0))
            photons = photons * (1.0 - covered + covered * through)
        photons = photons * self._bend(self._log(0.01, 0.4))
        return photons * transmission(self.table, self._log(0.005, 1.0))

    def _log(self, low: float, high: float) -> float:
        """Draw a number evenly in its logarithm."""
        return float(np.exp(self.generator.uniform(np.log(low), np.log(high))))

    def _continuum(self, index: float, *, broken: float) -> Array:
        """Draw a power law, which breaks with some probability."""
        rng, edges = self.generator, self.table.edges
        photons = power_law(edges, index)
        if rng.random() < broken:
            at, change = self._log(0.7, 6.0), rng.uniform(-1.5, 1.5)
            photons = photons * np.maximum(self.centre / at, 1.0) ** -change
        return photons

    def _line(self, photons: Array, energy: float, width: float) -> Array:
        """Draw a line of an equivalent width [keV] over the continuum there."""
        bins = np.diff(self.table.edges)
        level = np.interp(energy, self.centre, photons / bins)
        sigma = 0.0 if self.generator.random() < 0.6 else self._log(0.005, 0.1)
        return gaussian_line(self.table.edges, energy, sigma, level * width)

    def _bend(self, strength: float) -> Array:
        """Draw a smooth curve around one."""
        knots = self.generator.normal(0.0, strength, _BENDS.size)
        fine = np.interp(np.log(self.centre), _BENDS, knots)
        return np.exp(fine)


def _mixed(first: Array, second: Array, part: float) -> Array:
    """Add a second component with `part` times the photons of the first."""
    return first + second * (part * first.sum() / max(float(second.sum()), 1e-30))


KINDS = {"cluster": 0.55, "nucleus": 0.15, "lines": 0.15, "mixed": 0.15}
_DRAW: dict[str, Callable[[Sources], Array]] = {
    "cluster": Sources.cluster,
    "nucleus": Sources.nucleus,
    "lines": Sources.lines,
    "mixed": Sources.mixed,
}
