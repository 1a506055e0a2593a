"""Fits from several starts: seeds decide which minimum is found, so more than one is tried.

A spectrum is fitted from the best peak of its scan, from a second peak where there is one nearly as
good, from every mode of the network's density that is neither, and once more from narrower lines
where the fit left a line significantly negative: a broad line and a negative neighbour can pass for
a blended doublet. The best chi2 wins, with negative amplitudes counted against it; minima about as
good but elsewhere in velocity are marked, and so are fits the network contradicts. On the reduced
basis that is decided before the winner is polished.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import scan, varpro
from ..kernels.axis import GAUSSIAN_FWHM
from ..kernels.emission import resolution_element
from ..models.fit_graph import Fitter
from .densities import Modes
from .noise import is_even, weights_of
from .optical_rows import Fitted
from .reduced_fitter import Candidates, ReducedFitter
from .spectral_model import SpectralModel

Array = NDArray[np.float64]

_NEAR = 9.0  # in chi2: minima nearer than this are both possible
_NEGATIVE = 9.0  # in chi2: what forbidding the negative amplitudes of a suspicious fit would cost
_NARROWER = 0.4  # of the first start's broadening: the scan's next node
_NARROWEST = 1.0  # width of a line that is taken for a width [km/s]
_SAME = 0.5  # of a line's full width: starts that end in one minimum
_LIKELY = 0.03  # probability of a mode that is worth a fit
_SURE = 0.8  # probability of a mode that a fit should end in


def fit_from_seeds(
    data: NDArray[np.floating],
    weight: NDArray[np.floating],
    model: SpectralModel,
    geometry: varpro.Geometry,
    seeds: scan.Seeds,
    fitter: Fitter = varpro.fit,
    modes: Modes | None = None,
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
    modes : Modes, optional
        Of the network's densities, on the spaxels' own axes.

    Returns
    -------
    Fitted
        Without noise.
    """
    search = _searcher(data, weight, model, geometry, fitter)
    element = resolution_element(
        model.emission.shape, geometry.width[:, 0] / geometry.scale, model.emission.rest[0]
    )
    likely = None if modes is None else partial(_likelihood, modes, element)
    best = search(np.arange(len(data)), *_first(seeds, modes, element))
    second = np.flatnonzero(np.isfinite(seeds.second_velocity))
    if second.size:
        rival = search(second, seeds.second_velocity, seeds.second_broadening)
        best.challenge(second, rival, model, near=_NEAR, likely=likely)
    if modes is not None:
        tried = [seeds.velocity, seeds.second_velocity]
        for velocity, broadening, rows in _elsewhere(modes, tried, element):
            rival = search(rows, velocity, broadening)
            best.challenge(rows, rival, model, near=_NEAR, likely=likely)
        best.torn[:] |= _contradicted(modes, best.velocity[:, 0], element)
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


def _first(seeds: scan.Seeds, modes: Modes | None, element: Array) -> tuple[Array, Array]:
    """Start from the scan's first seed, or from the network's first mode where that is the same."""
    if modes is None:
        return seeds.velocity, seeds.broadening
    same = _apart(modes.velocity[:, 0], seeds.velocity, modes.broadening[:, 0], element) < _SAME
    same &= modes.weight[:, 0] > 0
    return (
        np.where(same, modes.velocity[:, 0], seeds.velocity),
        np.where(same, modes.broadening[:, 0], seeds.broadening),
    )


def _elsewhere(
    modes: Modes, tried: list[Array], element: Array
) -> Iterator[tuple[Array, Array, NDArray[np.int64]]]:
    """Velocities, broadenings and rows of the modes that no start has tried yet."""
    tried = list(tried)
    for weight, velocity, broadening in zip(
        modes.weight.T, modes.velocity.T, modes.broadening.T, strict=True
    ):
        new = weight > _LIKELY
        for other in tried:
            new &= ~(_apart(velocity, other, broadening, element) < _SAME)
        if new.any():
            yield velocity, broadening, np.flatnonzero(new)
        tried.append(np.where(new, velocity, np.nan))


def _likelihood(modes: Modes, element: Array, rows: NDArray, velocity: Array) -> Array:
    """Probability of the modes about a velocity, shape (row,)."""
    own = Modes(*(values[rows] for values in modes))
    away = _apart(own.velocity, velocity[:, None], own.broadening, element[rows, None])
    return np.where(away < _SAME, own.weight, 0.0).sum(axis=1)


def _contradicted(modes: Modes, velocity: Array, element: Array) -> NDArray[np.bool_]:
    """Tell where a fit ended elsewhere than the network is sure of."""
    away = _apart(modes.velocity[:, 0], velocity, modes.broadening[:, 0], element)
    return (modes.weight[:, 0] > _SURE) & (away > 2 * _SAME)


def _apart(velocity: Array, other: Array, broadening: Array, element: Array) -> Array:
    """Distance of two starts in full widths of the line."""
    full = np.hypot(element, GAUSSIAN_FWHM * broadening)
    return np.abs(velocity - other) / np.maximum(full, _NARROWEST)
