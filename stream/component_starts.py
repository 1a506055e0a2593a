"""Where one more kinematic component may stand, given a fit of those before it.

At the best peak of a scan of the fit's residual; on either side of a line that may be two; about
the core of one that may have wings; at the second peak of the scan of the spectrum itself and at
the second mode of the network's density, which a fit of one component had to leave.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import scan, varpro
from ..kernels.axis import GAUSSIAN_FWHM
from ..kernels.emission import Shape
from .densities import Modes
from .noise import is_even
from .optical_rows import Fitted
from .spectral_model import SpectralModel, with_components

Array = NDArray[np.float64]
Start = tuple[Array, Array, NDArray[np.bool_]]
Rescan = Callable[[NDArray, NDArray], scan.Seeds]

_LIKELY = 0.03  # probability of a mode of the network that is worth a start
_ELSEWHERE = 0.5  # of a line's full width: modes nearer than this are one
_BESIDE = 0.8  # of the broadening: equal lines so far on either side make one so broad
_UNRESOLVED = 0.3  # of the instrument's full width: how far apart lines pass for one
_CORE, _WING = 0.6, 2.0  # of the broadening


@dataclass(frozen=True, slots=True)
class Starts:
    """What is known of where components may stand.

    Parameters
    ----------
    model : SpectralModel
        Of one component.
    geometry : varpro.Geometry
        Of one component.
    seeds : scan.Seeds
        Of the spectra, on the spaxels' own axes.
    modes : Modes or None
        Of the network's densities.
    rescan : callable
        Gives the seeds of other spectra of the same weights: residuals.
    """

    model: SpectralModel
    geometry: varpro.Geometry
    seeds: scan.Seeds
    modes: Modes | None
    rescan: Rescan

    def geometry_of(self, count: int) -> varpro.Geometry:
        """Give the geometry of several components."""
        own = self.geometry
        return varpro.Geometry(own.coordinate, own.scale, np.tile(own.width, count))

    @property
    def element(self) -> Array:
        """Full width of the instrument, shape (spaxel,) [km/s]."""
        return self.model.element(self.geometry.width, self.geometry.scale)

    def of(self, data: NDArray, weight: NDArray, fitted: Fitted) -> Iterator[Start]:
        """Give starts of one component more than `fitted` has.

        Parameters
        ----------
        data, weight : ndarray, shape (spaxel, channel)
            As `varpro.fit` takes them.
        fitted : Fitted

        Yields
        ------
        (velocity, broadening, wanted), of shapes (spaxel, group), the same, and (spaxel,)
            The last says which rows it is for.
        """
        v, b, element = fitted.fit.velocity, fitted.fit.broadening, self.element
        every = np.ones(len(data), dtype=bool)
        left = self._residual_seeds(data, weight, fitted)
        yield *self._added(v, b, left.velocity, left.broadening), every
        groups = self.model.emission.groups
        beside = np.maximum(_BESIDE * b[:, 0], _UNRESOLVED * element)
        below, half = v.copy(), b.copy()
        below[:, :groups] -= beside[:, None]
        half[:, :groups] *= 0.5
        yield *self._added(below, half, v[:, 0] + beside, half[:, 0]), every
        if self.model.emission.shape is not Shape.SINC:
            core = b.copy()
            core[:, :groups] *= _CORE
            wing = _WING * b[:, 0] + _UNRESOLVED * element / GAUSSIAN_FWHM
            yield *self._added(v, core, v[:, 0], wing), every
        if v.shape[1] == groups:
            yield from self._other_peaks(np.ones_like(v))

    def _residual_seeds(self, data: NDArray, weight: NDArray, fitted: Fitted) -> scan.Seeds:
        """Scan what the fitted lines leave of the spectra."""
        have = fitted.velocity.shape[1] // self.model.emission.groups
        emission = with_components(self.model, have).emission
        lines = varpro.lines_at(fitted.fit, emission, self.geometry_of(have))
        remains = data - np.nan_to_num(lines)
        if not is_even(weight):
            remains = np.where(weight > 0, remains, 0.0)
        return self.rescan(np.ascontiguousarray(remains, dtype=data.dtype), weight)

    def _other_peaks(self, one: Array) -> Iterator[Start]:
        """Pair the first peak of the scan, or of the network, with the next one elsewhere."""
        seeds, modes = self.seeds, self.modes
        there = np.isfinite(seeds.second_velocity)
        if there.any():
            first = one * seeds.velocity[:, None], one * seeds.broadening[:, None]
            yield *self._added(*first, seeds.second_velocity, seeds.second_broadening), there
        if modes is None:
            return
        full = np.hypot(self.element[:, None], GAUSSIAN_FWHM * modes.broadening)
        away = np.abs(modes.velocity - modes.velocity[:, :1]) > _ELSEWHERE * full
        rank = np.where(away & (modes.weight > _LIKELY), modes.weight, 0.0)
        other, rows = rank.argmax(axis=1), np.arange(len(rank))
        first = one * modes.velocity[:, :1], one * modes.broadening[:, :1]
        second = modes.velocity[rows, other], modes.broadening[rows, other]
        yield *self._added(*first, *second), rank[rows, other] > 0

    def _added(self, v: Array, b: Array, velocity: Array, broadening: Array) -> tuple[Array, Array]:
        """Add a component, all its groups at one velocity and broadening."""
        groups = self.model.emission.groups
        new = (np.repeat(x[:, None], groups, axis=1) for x in (velocity, broadening))
        return np.concatenate([v, next(new)], axis=1), np.concatenate([b, next(new)], axis=1)
