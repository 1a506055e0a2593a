"""Simulated observations to test deconvolution with, made by nothing that training used.

The sources are drawn as for training, from other seeds, the responses are a real one that was left
out and made-up ones from other seeds. Three kinds of `strange` sources are like nothing in the
training: forests of strong lines, spectra with a step, and spectra with deep narrow gaps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels.plasma import gaussian_line, power_law, rebin
from ..kernels.response import ENERGY_EDGES
from ..models.plasma_table import load_plasma
from .spectrum_errors import WIDTHS
from .xray_batches import DEEPEST, Simulator
from .xray_responses import Instrument

Array = NDArray[np.float64]

DECADES: tuple[tuple[float, float], ...] = (
    *((3e2, 1e3), (1e3, 3e3), (3e3, 1e4), (1e4, 3e4), (3e4, 1e5), (1e5, 1e6)),
)


@dataclass(frozen=True, slots=True)
class Trials:
    """Observations with their truth.

    Parameters
    ----------
    counts, background : ndarray, shape (observation, detector)
    instruments : tuple of Instrument
        One for each observation.
    log_flux : ndarray, shape (observation, energy)
        True ln x [photons/cm2/s/keV], no more than `DEEPEST` under the mean.
    """

    counts: Array
    background: Array
    instruments: tuple[Instrument, ...]
    log_flux: Array

    def __len__(self) -> int:
        """Count the observations."""
        return self.counts.shape[0]

    def response(self, row: int) -> Array:
        """Give the matrix of one observation, shape (detector, energy)."""
        return self.instruments[row].working


def draw_trials(
    instruments: Sequence[Instrument],
    counts: tuple[float, float],
    size: int,
    *,
    seed: int,
    kind: str | None = None,
    background: bool = True,
) -> Trials:
    """Draw observations like those of the training, from another seed.

    With one seed the sources are the same, whatever the instruments.

    Parameters
    ----------
    instruments : sequence of Instrument
        Taken in turn.
    counts : tuple of float
        Range of the expected counts.
    size : int
    seed : int
    kind : str, optional
        Of `Sources.draw`.
    background : bool
        Whether half have one.

    Returns
    -------
    Trials
    """
    used = tuple(instruments[row % len(instruments)] for row in range(size))
    rows = [
        Simulator(load_plasma(), (), np.random.default_rng([seed, 20, row]), keep=0).observation(
            one, counts=counts, kind=kind, background=background
        )
        for row, one in enumerate(used)
    ]
    found, beside, truth = (np.array(part, np.float64) for part in zip(*rows, strict=True))
    return Trials(found, beside, used, truth)


def invented_instruments(number: int, *, seed: int) -> list[Instrument]:
    """Make up responses no training has seen."""
    simulator = Simulator(load_plasma(), (), np.random.default_rng([seed, 21]), keep=0)
    return [simulator.instrument() for _ in range(number)]


def draw_strange(
    instrument: Instrument, name: str, counts: float, size: int, *, seed: int
) -> Trials:
    """Draw observations of sources unlike any of the training.

    Parameters
    ----------
    instrument : Instrument
    name : str
        One of `STRANGE`.
    counts : float
        Expected.
    size, seed : int

    Returns
    -------
    Trials
    """
    rng = np.random.default_rng([seed, 22])
    edges = load_plasma().edges
    data, truth = [], []
    for _ in range(size):
        photons = STRANGE[name](edges, rng)
        source = instrument.fold(edges, photons)
        scale = counts / source.sum()
        flux = rebin(edges, photons, ENERGY_EDGES) / WIDTHS * scale
        data.append(rng.poisson(source * scale))
        truth.append(np.log(np.maximum(flux, flux.mean() * np.exp(-DEEPEST))))
    found = np.array(data, np.float64)
    return Trials(found, np.zeros_like(found), (instrument,) * size, np.array(truth))


def _forest(edges: Array, rng: np.random.Generator) -> Array:
    """Give two dozen lines that outshine their continuum."""
    photons = power_law(edges, rng.uniform(1.0, 2.0))
    for _ in range(24):
        energy = np.exp(rng.uniform(np.log(0.6), np.log(6.5)))
        level = energy ** -rng.uniform(1.0, 2.0)
        photons = photons + gaussian_line(edges, energy, 0.002, level * rng.uniform(0.5, 3.0))
    return photons


def _step(edges: Array, rng: np.random.Generator) -> Array:
    """Give a power law that falls to a tenth, or rises tenfold, at one energy."""
    photons = power_law(edges, rng.uniform(0.5, 2.0))
    at = np.exp(rng.uniform(np.log(0.9), np.log(4.0)))
    return np.where(edges[1:] > at, photons * 10.0 ** rng.choice([-1.0, 1.0]), photons)


def _gaps(edges: Array, rng: np.random.Generator) -> Array:
    """Give a power law of which four bands, a sixth of their energy wide, are missing."""
    photons = power_law(edges, rng.uniform(1.0, 2.0))
    for _ in range(4):
        at = np.exp(rng.uniform(np.log(0.7), np.log(5.0)))
        photons = np.where((edges[1:] > at) & (edges[:-1] < 1.16 * at), 0.02 * photons, photons)
    return photons


STRANGE: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "two dozen strong lines": _forest,
    "tenfold step": _step,
    "missing bands": _gaps,
}
