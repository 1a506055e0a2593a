"""Batches of simulated observations to train on: fresh draws every time.

Each batch has a few responses and several observations with each. Counts are spread evenly in their
logarithm; half of the observations have a background of up to half of the counts, which is known
to the network as an observer knows it: from Poisson counts beside the source, smoothed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.observations import Response
from ..kernels.plasma import PlasmaTable, power_law, rebin
from ..kernels.refold import smooth_background
from ..kernels.response import ENERGY_EDGES
from .xray_responses import Change, Instrument, changed, exact, invented
from .xray_sources import Sources

Array = NDArray[np.float64]
Single = NDArray[np.float32]

COUNTS = (50.0, 1e6)
USUAL = (200.0, 2e5)  # where three of four are drawn from
DEEPEST = 14.0  # ln flux is not told apart below this under its mean


@dataclass(frozen=True, slots=True)
class Simulated:
    """Observations with their truth; the rows of each response follow each other.

    Parameters
    ----------
    counts, background : ndarray, shape (n, detector)
        The background as an observer estimates it.
    response : ndarray, shape (groups, detector, energy)
    log_flux : ndarray, shape (n, energy)
        True ln x, no more than `DEEPEST` under the mean of x.
    """

    counts: Single
    background: Single
    response: Single
    log_flux: Single


class Simulator:
    """Draws batches.

    Parameters
    ----------
    table : PlasmaTable
    responses : sequence of Response
        Real ones; half of those used are changed ones of these, some as they are, the rest made up.
    generator : numpy.random.Generator
    keep : int
        Responses held at a time; one is replaced with every batch.
    """

    def __init__(
        self,
        table: PlasmaTable,
        responses: Sequence[Response],
        generator: np.random.Generator,
        *,
        keep: int = 160,
    ) -> None:
        self.table, self.responses, self.generator = table, responses, generator
        self.sources = Sources(table, generator)
        self.instruments = [self.instrument() for _ in range(keep)]

    def instrument(self) -> Instrument:
        """Draw a response."""
        rng, chance = self.generator, self.generator.random()
        if chance < 0.35 or not self.responses:
            return invented(rng)
        response = self.responses[int(rng.integers(len(self.responses)))]
        return exact(response) if chance < 0.5 else changed(response, Change.draw(rng))

    def batch(self, groups: int, each: int) -> Simulated:
        """Draw observations: `each` with each of `groups` responses."""
        rng = self.generator
        self.instruments[int(rng.integers(len(self.instruments)))] = self.instrument()
        places = rng.choice(len(self.instruments), groups, replace=False)
        chosen = [self.instruments[int(at)] for at in places]
        rows = [self.observation(one) for one in chosen for _ in range(each)]
        counts, background, log_flux = (
            np.array(part, np.float32) for part in zip(*rows, strict=True)
        )
        matrices = np.array([one.working for one in chosen], np.float32)
        return Simulated(counts, background, matrices, log_flux)

    def observation(
        self,
        instrument: Instrument,
        *,
        counts: tuple[float, float] | None = None,
        kind: str | None = None,
        background: bool = True,
    ) -> tuple[Array, Array, Array]:
        """Draw an observation.

        Parameters
        ----------
        instrument : Instrument
        counts : tuple of float
            Range of the expected counts, background included.
        kind : str
            Of `Sources.draw`.
        background : bool
            Whether half have any.

        Returns
        -------
        counts, background, log_flux : ndarray
        """
        rng = self.generator
        low, high = counts or (USUAL if rng.random() < 0.75 else COUNTS)
        photons = self.sources.draw(kind)
        source = instrument.fold(self.table.edges, photons)
        total = np.exp(rng.uniform(np.log(low), np.log(high)))
        share = 0.0
        if background and rng.random() < 0.5:
            share = np.exp(rng.uniform(np.log(0.005), np.log(0.5)))
        scale = (1.0 - share) * total / source.sum()
        flux = rebin(self.table.edges, photons, ENERGY_EDGES) / np.diff(ENERGY_EDGES) * scale
        floor = np.log(flux.mean()) - DEEPEST
        log_flux = np.maximum(np.log(np.maximum(flux, 1e-300)), floor)
        if share == 0.0:
            return rng.poisson(source * scale), np.zeros(source.size), log_flux
        beside = self.beside(instrument) * share * total
        return rng.poisson(source * scale + beside), self.estimated(beside), log_flux

    def beside(self, instrument: Instrument) -> Array:
        """Draw the shape of a background, its sum one: particles, and sky seen by the mirror."""
        rng = self.generator
        axis = np.linspace(0.5, 7.0, instrument.native.shape[0])
        particles = axis ** rng.uniform(-0.6, 0.3) + rng.uniform(0.0, 0.5) * (axis / 5.0) ** 3
        for energy in (1.74, 2.15, 5.9):
            line = np.exp(-0.5 * ((axis - energy) / 0.07) ** 2)
            particles = particles + rng.uniform(0.0, 1.0) * line
        sky = instrument.fold(self.table.edges, power_law(self.table.edges, rng.uniform(1.4, 2.5)))
        part = rng.uniform(0.0, 0.8)
        return (1.0 - part) * particles / particles.sum() + part * sky / sky.sum()

    def estimated(self, background: Array) -> Array:
        """Estimate a background as an observer does, from counts beside the source."""
        rng = self.generator
        if rng.random() < 0.3:
            return background
        scale = np.full(background.size, np.exp(rng.uniform(np.log(0.02), np.log(0.5))))
        return smooth_background(rng.poisson(background / scale).astype(np.float64), scale)
