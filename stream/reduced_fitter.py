"""The fast fit: the reduced basis finds the minimum, the exact model polishes it.

Called like `varpro.fit`. Weights that are one number for each spectrum (`noise.even`) go the fast
way; others, of spectra with a masked channel say, go to `varpro.fit`, and so does a spectrum that
leaves the tables. No number that comes out has seen a table: chi2, parameters and covariance are
those of the exact model.

Tables take a third of a second for each class of axis and width, so a cube with few spectra a class
is fitted directly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.records import Area
from ..kernels import varpro
from ..kernels.emission import Continuum, Emission, Shape
from ..kernels.polish import polish
from ..kernels.reduced import Found, ReducedEngine
from .noise import is_even
from .optical_rows import Fitted, Likely, race
from .spectral_model import SpectralModel

Array = NDArray[np.float64]

_WORTHWHILE = 15_000  # spectra in a class that cost the direct fit what tables cost
_INTEGRATED = 4_000  # the same, where posteriors are integrated: exact profiles take 0.1 ms more
_CLASSES = 10  # of width over a SITELLE field, and of stretch four times as many
_EVEN = 1e-6  # of the axis: how evenly channels must be spaced


@dataclass(frozen=True, slots=True)
class Candidates:
    """Minima on the reduced basis, not polished yet; `Fitted` has the same methods.

    `width` is the instrument's at every line, `torn` says that two minima are as good.
    """

    found: Found
    width: Array
    torn: NDArray[np.bool_]

    @property
    def velocity(self) -> Array:
        """Where the minima are, shape (spaxel, group) [km/s]."""
        return self.found.velocity

    def negativity(self, model: SpectralModel) -> Array:
        """Give what negative amplitudes are worth in chi2, shape (spaxel,)."""
        del model
        return self.found.debt

    def challenge(
        self,
        rows: NDArray,
        rival: "Candidates",
        model: SpectralModel,
        *,
        near: float,
        likely: Likely | None = None,
    ) -> None:
        """Take the minima of `rival` where they are better; mark those about as good elsewhere."""
        here, there = self.found.part(rows), rival.found
        better, torn = race(
            (here.velocity, here.cost),
            (there.velocity, there.cost),
            rival.width,
            model,
            near=near,
            likely=None if likely is None else lambda close, v: likely(rows[close], v),
        )
        self.torn[rows] = torn | (self.torn[rows] & ~better)
        self.found.put(rows[better], there.part(np.flatnonzero(better)))

    def polish(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        emission: Emission,
        continuum: Continuum,
        geometry: varpro.Geometry,
        bounds: varpro.Bounds,
    ) -> varpro.Fit:
        """Finish every spectrum with the exact model."""
        return polish(
            data,
            np.asarray(1.0 / weight[:, 0], dtype=np.float64),
            emission,
            continuum,
            geometry,
            start=(self.found.velocity, self.found.broadening),
            near=self.found.found,
            bent=self.found.bent,
            bounds=bounds,
        )

    def polished(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        model: SpectralModel,
        geometry: varpro.Geometry,
    ) -> Fitted:
        """Finish every spectrum; rows without noise."""
        fit = self.polish(data, weight, model.emission, model.continuum, geometry, model.bounds)
        fitted = Fitted.of(fit, geometry)
        fitted.torn = self.torn
        return fitted


class ReducedFitter:
    """Fits batches of one model; safe to share between threads.

    Parameters
    ----------
    model : SpectralModel
    """

    def __init__(self, model: SpectralModel) -> None:
        self._model = model
        self.engine = ReducedEngine(model.emission, model.continuum, model.bounds)

    def __call__(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        emission: Emission,
        continuum: Continuum,
        geometry: varpro.Geometry,
        *,
        start: tuple[Array, Array],
        bounds: varpro.Bounds,
        iterations: int = 40,
    ) -> varpro.Fit:
        """Fit every spectrum of a batch from its own start."""
        if not is_even(weight):
            return varpro.fit(
                data,
                weight,
                emission,
                continuum,
                geometry,
                start=start,
                bounds=bounds,
                iterations=iterations,
            )
        found = self.search(data, weight, geometry, start=start)
        return found.polish(data, weight, emission, continuum, geometry, bounds)

    def search(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        geometry: varpro.Geometry,
        *,
        start: tuple[Array, Array],
    ) -> Candidates:
        """Find the minimum of every spectrum of even weights: on the reduced basis where it can."""
        noise = np.asarray(1.0 / weight[:, 0], dtype=np.float64)
        found = self.engine.find(data, noise, geometry, start=start)
        lost = np.flatnonzero(~found.found)
        if lost.size:
            part = geometry.part(lost)
            exact = Fitted.of(
                varpro.fit(
                    data[lost],
                    weight[lost],
                    self._model.emission,
                    self._model.continuum,
                    part,
                    start=(start[0][lost], start[1][lost]),
                    bounds=self._model.bounds,
                ),
                part,
            )
            found.velocity[lost], found.broadening[lost] = exact.fit.velocity, exact.fit.broadening
            found.chi2[lost], found.debt[lost] = exact.fit.chi2, exact.negativity(self._model)
        return Candidates(found, geometry.width, np.zeros(len(data), dtype=bool))


def worthwhile(
    model: SpectralModel,
    noise: str,
    shape: tuple[int, int],
    area: Area | None,
    *,
    bayes: bool = False,
) -> bool:
    """Tell whether tables pay: even weights, an even axis, and spectra enough for every class.

    Parameters
    ----------
    model : SpectralModel
    noise : str
        Where the noise comes from.
    shape : (nx, ny)
        Of the cube.
    area : Area or None
        The part that is fitted.
    bayes : bool
        Whether posteriors are integrated too, which takes the same tables.
    """
    steps = np.diff(model.coordinate)
    if noise == "variance" or np.ptp(steps) > _EVEN * np.ptp(model.coordinate):
        return False
    spaxels = shape[0] * shape[1] if area is None else len(area)
    classes = 4 * _CLASSES if model.stretched else _CLASSES if model.widened else 1
    if model.emission.shape is Shape.GAUSSIAN:
        classes = 4 * _CLASSES if model.stretched else 1
    enough = _INTEGRATED if bayes and model.emission.groups == 1 else _WORTHWHILE
    return spaxels > enough * classes
