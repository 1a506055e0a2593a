"""Fits from several starts: seeds decide which minimum is found, so more than one is tried.

A spectrum is fitted from the best peak of its scan, from a second peak where there is one nearly as
good, and once more from narrower lines where the fit left a line significantly negative: a broad
line and a negative neighbour can pass for a blended doublet. The best chi2 wins, with negative
amplitudes counted against it; minima about as good but elsewhere in velocity are marked.
"""

import numpy as np
from numpy.typing import NDArray

from ..kernels import scan, varpro
from ..models.fit_graph import Fitter
from .optical_rows import Fitted
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
    everyone = np.arange(len(data))

    def fit(rows: NDArray, velocity: Array, broadening: Array) -> Fitted:
        start = tuple(
            np.repeat(value[rows, None], model.emission.groups, axis=1)
            for value in (velocity, broadening)
        )
        part = geometry if rows is everyone else geometry.part(rows)
        found = fitter(
            data if rows is everyone else data[rows],
            weight if rows is everyone else weight[rows],
            model.emission,
            model.continuum,
            part,
            start=(start[0], start[1]),
            bounds=model.bounds,
        )
        return Fitted.of(found, part)

    best = fit(everyone, seeds.velocity, seeds.broadening)
    second = np.flatnonzero(np.isfinite(seeds.second_velocity))
    if second.size:
        rival = fit(second, seeds.second_velocity, seeds.second_broadening)
        best.challenge(second, rival, model, near=_NEAR)
    negative = np.flatnonzero(best.negativity(model) > _NEGATIVE)
    if negative.size:
        narrower = np.maximum(_NARROWER * seeds.broadening, model.bounds.broadening[0])
        rival = fit(negative, seeds.velocity, narrower)
        best.challenge(negative, rival, model, near=_NEAR)
    return best
