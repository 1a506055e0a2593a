"""Fits from several starts: seeds decide which minimum is found, so more than one is tried.

A spectrum is fitted from the best peak of its scan, from a second peak where there is one nearly as
good, and once more from narrower lines where the fit left a line significantly negative: a broad
line and a negative neighbour can pass for a blended doublet. The best chi2 wins, with negative
amplitudes counted against it; minima about as good but elsewhere in velocity are marked. On the
reduced basis that is decided before the winner is polished.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import scan, varpro
from ..models.fit_graph import Fitter
from .noise import is_even, weights_of
from .optical_rows import Fitted
from .reduced_fitter import Candidates, ReducedFitter
from .spectral_model import SpectralModel

Array = NDArray[np.float64]

_NEAR = 9.0  # in chi2: minima nearer than this are both possible
_NEGATIVE = 9.0  # in chi2: what forbidding the negative amplitudes of a suspicious fit would cost
_NARROWER = 0.4  # of the first start's broadening: the scan's next node


def fit_from_seeds(
    data: NDArray[np.floating],
    weight: NDArray[np.floating],
    model: SpectralModel,
    geometry: varpro.Geometry,
    seeds: scan.Seeds,
    fitter: Fitter = varpro.fit,
) -> Fitted:
    """Fit each spectrum from its starts and keep the best.

    Parameters
    ----------
    data, weight : ndarray, shape (spaxel, channel)
        As `varpro.fit` takes them.
    model : SpectralModel
    geometry : varpro.Geometry
        Of the channels in `data`.
    seeds : scan.Seeds
        Velocities on the spaxels' own axes.
    fitter : Fitter
        What fits a batch.

    Returns
    -------
    Fitted
        Without noise.
    """
    search = _searcher(data, weight, model, geometry, fitter)
    everyone = np.arange(len(data))
    best = search(everyone, seeds.velocity, seeds.broadening)
    second = np.flatnonzero(np.isfinite(seeds.second_velocity))
    if second.size:
        rival = search(second, seeds.second_velocity, seeds.second_broadening)
        best.challenge(second, rival, model, near=_NEAR)
    negative = np.flatnonzero(best.negativity(model) > _NEGATIVE)
    if negative.size:
        narrower = np.maximum(_NARROWER * seeds.broadening, model.bounds.broadening[0])
        rival = search(negative, seeds.velocity, narrower)
        best.challenge(negative, rival, model, near=_NEAR)
    if isinstance(best, Candidates):
        return best.polished(data, weight, model, geometry)
    return best


def _searcher(
    data: NDArray[np.floating],
    weight: NDArray[np.floating],
    model: SpectralModel,
    geometry: varpro.Geometry,
    fitter: Fitter,
) -> Callable[[NDArray, Array, Array], Any]:
    """Give what searches some rows from velocities and broadenings of all rows."""

    def search(rows: NDArray, velocity: Array, broadening: Array) -> Fitted | Candidates:
        start = tuple(
            np.repeat(value[rows, None], model.emission.groups, axis=1)
            for value in (velocity, broadening)
        )
        all_of_them = rows.size == len(data)
        part = geometry if all_of_them else geometry.part(rows)
        spectra = data if all_of_them else data[rows]
        weighed = weight if all_of_them else weights_of(weight, rows)
        if isinstance(fitter, ReducedFitter) and is_even(weight):
            return fitter.search(spectra, weighed, part, start=(start[0], start[1]))
        found = fitter(
            spectra,
            weighed,
            model.emission,
            model.continuum,
            part,
            start=(start[0], start[1]),
            bounds=model.bounds,
        )
        return Fitted.of(found, part)

    return search
