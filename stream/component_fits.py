"""Fits of several kinematic components, one added at a time, and which minimum is kept.

Each start of `component_starts.py` is fitted by `varpro.py`. The best chi2 wins, negative
amplitudes counted against it, as among the starts of one component (`starts.py`); a minimum nearly
as good elsewhere marks the row, and stays known to the integration of the posterior. Where no start
gives parameters that can be told apart, as where there is no second component, the row keeps the
fit with fewer and is marked SINGULAR.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ..kernels import components, varpro
from ..models.fit_graph import Fitter
from .component_starts import Starts
from .noise import weights_of
from .optical_rows import Fitted
from .reduced_fitter import ReducedFitter
from .spectral_model import SpectralModel, with_components

Array = NDArray[np.float64]

_NEAR = 9.0  # in chi2: minima nearer than this are both possible
_ELSEWHERE = 0.5  # of the instrument's full width, or of ln broadening: two minima, not one
_RIVAL = 20.0  # in chi2: a minimum worse by this has no mass


@dataclass(slots=True)
class Minima:
    """The best fits of several components, and where the second best minimum lies.

    `fitted` has the shape of all components; the velocities of `rival`, a fit of the same shape,
    are NaN where no other minimum is nearly as good. `tried` says which rows have such a fit.
    """

    fitted: Fitted
    rival: varpro.Fit
    tried: NDArray[np.bool_]

    def rescale(self, noise: Array) -> None:
        """Replace the noise, as `Fitted.rescale` does."""
        factor = np.square(noise / np.where(self.fitted.noise > 0, self.fitted.noise, np.nan))
        self.rival.covariance[:] *= factor[:, None, None]
        self.fitted.rescale(noise)


def add_components(
    data: NDArray[np.floating],
    weight: NDArray[np.floating],
    one: Fitted,
    starts: Starts,
    fitter: Fitter = varpro.fit,
    *,
    count: int,
    wanted: NDArray[np.bool_],
) -> list[Minima]:
    """Fit two components to each spectrum, then three, and so on.

    Parameters
    ----------
    data, weight, starts, fitter
        As `add_component` takes them.
    one : Fitted
        Fits of one component.
    count : int
        Components of the last fits.
    wanted : ndarray of bool, shape (spaxel,)
        Spectra that may have more than one.

    Returns
    -------
    list of Minima
        Of 2 to `count` components.
    """
    found: list[Minima] = []
    fewer = one
    while len(found) < count - 1:
        found.append(add_component(data, weight, fewer, starts, fitter, wanted=wanted))
        fewer = found[-1].fitted
    return found


def add_component(
    data: NDArray[np.floating],
    weight: NDArray[np.floating],
    fewer: Fitted,
    starts: Starts,
    fitter: Fitter = varpro.fit,
    *,
    wanted: NDArray[np.bool_],
) -> Minima:
    """Fit one component more to each spectrum.

    Parameters
    ----------
    data, weight : ndarray, shape (spaxel, channel)
        As `varpro.fit` takes them.
    fewer : Fitted
        Fits with the components so far.
    starts : Starts
    fitter : Fitter
        What fits a batch.
    wanted : ndarray of bool, shape (spaxel,)
        Spectra that may have one more.

    Returns
    -------
    Minima
        Rows without such a fit have that of `fewer` in its shape.
    """
    one = starts.model.emission
    have = fewer.velocity.shape[1] // one.groups
    model, geometry = with_components(starts.model, have + 1), starts.geometry_of(have + 1)
    if isinstance(fitter, ReducedFitter):
        fitter = varpro.fit  # tables know of one velocity
    race = _Race(model, geometry, components.embedded(fewer.fit, one, have, have + 1))
    whole = wanted & np.isfinite(fewer.velocity).all(axis=1)
    for velocity, broadening, there in starts.of(data, weight, fewer):
        known = np.isfinite(velocity).all(axis=1) & np.isfinite(broadening).all(axis=1)
        rows = np.flatnonzero(whole & there & known)
        if rows.size:
            part = geometry.part(rows)
            found = fitter(
                data[rows],
                weights_of(weight, rows),
                model.emission,
                model.continuum,
                part,
                start=(velocity[rows], broadening[rows]),
                bounds=model.bounds,
            )
            width = part.width[:, : len(one.names)]
            found = components.sorted_by_flux(found, one, have + 1, width)
            race.enter(rows, Fitted.of(found, part))
    return race.result(fewer, whole)


class _Race:
    """Fits from several starts, the best and the second best of each row kept."""

    def __init__(self, model: SpectralModel, geometry: varpro.Geometry, fewer: varpro.Fit) -> None:
        self._model, self._fewer = model, fewer
        self._best, self._rival = (Fitted.of(_nothing(fewer), geometry) for _ in range(2))
        self._cost, self._behind = (np.full(len(fewer.chi2), np.inf) for _ in range(2))

    def enter(self, rows: NDArray[np.int64], found: Fitted) -> None:
        """Let the fits of some rows compete."""
        cost = found.fit.chi2 + found.negativity(self._model)
        told = np.isfinite(cost) & np.isfinite(found.velocity).all(axis=1)
        cost = np.where(told, cost, np.inf)
        mine, before = self._best.part(rows), self._cost[rows]
        apart = self._apart(mine, found)
        better = cost < before
        with np.errstate(invalid="ignore"):  # two that are infinite are not near
            torn = apart & (np.abs(cost - before) < _NEAR)
        self._second(rows, mine, before, better & apart)
        self._second(rows, found, cost, ~better & apart)
        self._best.put(rows[better], found.part(np.flatnonzero(better)))
        self._best.torn[rows] = torn | (mine.torn & ~better)
        self._cost[rows] = np.where(better, cost, before)

    def _second(
        self, rows: NDArray[np.int64], loser: Fitted, cost: Array, eligible: NDArray[np.bool_]
    ) -> None:
        """Keep a fit that lost, if it is the best of those."""
        taken = np.flatnonzero(eligible & (cost < self._behind[rows]))
        self._rival.put(rows[taken], loser.part(taken))
        self._behind[rows[taken]] = cost[taken]

    def _apart(self, one: Fitted, other: Fitted) -> NDArray[np.bool_]:
        """Tell which fits are elsewhere, components compared in the order of velocity."""
        order = np.argsort(one.velocity, axis=1), np.argsort(other.velocity, axis=1)
        ranked = [
            [np.take_along_axis(values, of, axis=1) for values in (f.velocity, f.fit.broadening)]
            for f, of in zip((one, other), order, strict=True)
        ]
        element = self._model.element(one.width, one.scale)
        moved = np.abs(ranked[0][0] - ranked[1][0]) > _ELSEWHERE * element[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            widened = np.abs(np.log(ranked[0][1] / ranked[1][1])) > _ELSEWHERE
        return np.any(moved | widened, axis=1)

    def result(self, fewer: Fitted, whole: NDArray[np.bool_]) -> Minima:
        """Fill the rows that no start gave a fit."""
        best, tried = self._best, np.isfinite(self._cost)
        lost = np.flatnonzero(~tried)
        for field in fields(varpro.Fit):
            getattr(best.fit, field.name)[lost] = getattr(self._fewer, field.name)[lost]
        best.fit.outcome[lost] |= np.where(whole[lost], int(varpro.Outcome.SINGULAR), 0)
        best.torn[lost] = fewer.torn[lost]
        best.components = np.where(tried, fewer.components + 1, fewer.components)
        best.outside, best.density = fewer.outside, fewer.density
        best.noise, best.dropped, best.rough = fewer.noise, fewer.dropped, fewer.rough
        self._rival.fit.velocity[~(self._behind < self._cost + _RIVAL)] = np.nan
        return Minima(best, self._rival.fit, tried)


def _nothing(fit: varpro.Fit) -> varpro.Fit:
    """Give a fit of the same shape that is none."""
    return replace(
        fit,
        **{
            field.name: np.full_like(
                getattr(fit, field.name), 0 if field.name in _COUNTS else np.nan
            )
            for field in fields(fit)
        },
    )


_COUNTS = ("dof", "evaluations", "outcome")
