"""Simulated spectra fitted and integrated one by one, and what their posteriors were made from.

Samplers are held against `--bayes` on the very posterior that it integrated.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..io.records import BatchKey, SpectralBatch
from ..kernels.full_posterior import FullPosterior
from ..kernels.posterior import Posterior
from ..stream.config import OpticalConfig
from ..stream.explore import WatchedRows
from ..stream.optical import OpticalRecipe
from ..stream.reduced_fitter import ReducedFitter
from .calibration import CORR, Population, draw, sn3_header

RANGES: Mapping[str, Any] = MappingProxyType(
    {"velocity_range": (-500.0, 500.0), "broadening_range": (1.0, 200.0)}  # km/s
)


class CountedRows(WatchedRows):
    """Posteriors of one spectrum that say how often the density was evaluated."""

    evaluations = 0

    def numbers(self, found: Posterior, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Keep the evaluations."""
        self.evaluations = int(found.evaluations[0])
        return super().numbers(found, rows)


class Single(NamedTuple):
    """One spectrum: its true SNR, its row, its posterior flat in everything, and what made it."""

    snr: float
    row: dict[str, Any]
    full: FullPosterior
    rows: CountedRows


def fit_singly(
    count: int,
    snr: tuple[float, float],
    seed: int,
    kind: type[CountedRows] = CountedRows,
    **options: Any,
) -> Iterator[Single]:
    """Fit simulated spectra of SN3 one by one.

    Parameters
    ----------
    count : int
    snr : (low, high)
    seed : int
    kind : type
        Of the posteriors.
    **options
        Fields of `OpticalConfig` beside the noise and `RANGES`.
    """
    config = OpticalConfig(noise="band", bayes=True, **RANGES, **options)
    header = sn3_header()
    recipe = OpticalRecipe(header, config)
    engine = recipe.fitter.engine if isinstance(recipe.fitter, ReducedFitter) else None
    rows = kind(recipe.model, header.unit, engine, config)
    recipe.posterior = rows
    truth, model = draw(recipe, count, Population(snr), seed), recipe.model
    index = np.zeros(1, dtype=np.int32)
    for s in range(count):
        one = truth.data[s : s + 1]
        batch = SpectralBatch(BatchKey("singly", s, s + 1), index, index, one, np.full(1, CORR))
        row = recipe.fit(batch).to_pylist()[0]
        assert rows.spectrum is not None
        full = FullPosterior.of(rows.spectrum, model.emission, model.continuum, model.bounds)
        yield Single(float(truth.snr[s]), row, full, rows)


def compare(
    measure: Callable[[int, tuple[float, float], int, int], Any],
    describe: Callable[[Any], str],
    argv: Sequence[str] | None,
    **arguments: Any,
) -> int:
    """Run a comparison as a program: how many spectra, of which SNR, with how many live points.

    Parameters
    ----------
    measure, describe : callable
        The work, and its result in words.
    argv : sequence of str or None
    **arguments
        ``description`` of the parser, and how many `spectra` without being asked.
    """
    parser = argparse.ArgumentParser(description=arguments["description"])
    parser.add_argument("--spectra", type=int, default=arguments["spectra"])
    parser.add_argument("--snr", type=float, nargs=2, default=(3.0, 100.0))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--live", type=int, default=500)
    chosen = parser.parse_args(argv)
    print(describe(measure(chosen.spectra, tuple(chosen.snr), chosen.seed, chosen.live)))
    return 0
