"""One observation on the working grid, and its deconvolved spectrum held against its counts.

The counts and the response go onto the detector bins of `kernels.response`; the background expected
there is that measured beside the source, scaled, and smoothed where few counts were seen. Refolded
spectra are compared by the W statistic where the background was measured and by Cash's where it is
known or none; above 1e5 counts on the native channels, where two channels of a bin can be told
apart.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammainc

from ..io.observations import Observation
from ..kernels.poisson import fold
from ..kernels.refold import Refold, refold_cash, refold_w, smooth_background
from ..kernels.response import detector_bins, refold_native, to_detector, working_matrix
from ..kernels.unfold import Problem

Array = NDArray[np.float64]

BRIGHT = 1e5  # counts above which the working grid is too coarse (facts of the grid, `response`)
_BY_CHANCE = 1e-3  # probability above which counts are no signal
# A negative flux may expect less than nothing; as many counts are expected there instead.
_NOTHING = 1e-9


@dataclass(frozen=True)
class WorkingObservation:
    """An observation on the working grid.

    Parameters
    ----------
    observation : Observation
    bins : ndarray of int, shape (channel,)
        Detector bin of each channel, -1 for none.
    problem : Problem
        Counts, response and expected background of the detector bins.
    """

    observation: Observation
    bins: NDArray[np.int64]
    problem: Problem

    @classmethod
    def of(cls, observation: Observation) -> "WorkingObservation":
        """Bring an observation onto the working grid."""
        response = observation.response
        bins = detector_bins(response.channel_low, response.channel_high, good=observation.good)
        matrix = working_matrix(
            response, bins, exposure=observation.exposure, area_scale=observation.area_scale
        )
        counts = to_detector(observation.counts, bins)
        return cls(observation, bins, Problem(counts, matrix, _expected(observation, bins)))

    @property
    def seen(self) -> bool:
        """Whether any photon of the working energies would be counted."""
        return bool(self.problem.matrix.any())

    @property
    def counts(self) -> float:
        """Counts of all bins."""
        return float(self.problem.counts.sum())

    @property
    def background(self) -> float:
        """Counts of the background expected among them, the smoothing left out."""
        found = self.observation.background
        return 0.0 if found is None else float(to_detector(found.expected, self.bins).sum())

    @property
    def complete(self) -> bool:
        """Whether every channel between the first and the last one used is good."""
        return bool(self.observation.good[self._band].all())

    @cached_property
    def _band(self) -> NDArray[np.bool_]:
        """Channels whose centre lies on the detector bins, good or bad."""
        response = self.observation.response
        return detector_bins(response.channel_low, response.channel_high) >= 0

    def has_signal(self) -> bool:
        """Tell whether the counts are more than the background would give by chance."""
        background = self.observation.background
        if background is None or not background.poisson:
            return exceeds(self.counts, self.background, None, 1.0)
        beside = float(to_detector(background.counts, self.bins).sum())
        return exceeds(self.counts, self.background, beside, float(np.median(background.scale)))

    def refold(self, flux: Array, freedom: float = 0.0) -> Refold:
        """Compare a spectrum with the counts it was made from.

        Parameters
        ----------
        flux : ndarray, shape (energy,)
            [photons/cm2/s/keV].
        freedom : float
            Parameters by which it was fitted to them.

        Returns
        -------
        Refold
        """
        return replace(self._refold(flux), freedom=freedom)

    def _refold(self, flux: Array) -> Refold:
        """Compare, as if the spectrum had not been fitted."""
        if self.counts > BRIGHT:
            return self._refold_native(flux)
        problem, background = self.problem, self.observation.background
        source = np.maximum(fold(problem.matrix, flux), _NOTHING * problem.seen)
        if background is None or not background.poisson:
            return refold_cash(problem.counts, source + problem.background)
        beside, scale, width = _measured(self.observation, self.bins)
        return refold_w(problem.counts, source, beside, scale, width=width)

    def _refold_native(self, flux: Array) -> Refold:
        """Compare on the channels themselves."""
        found, inside = self.observation, self.bins >= 0
        scale = found.area_scale[inside]
        native = refold_native(found.response, flux, exposure=found.exposure)
        source = np.maximum(native[inside] * scale, _NOTHING * (native[inside] != 0))
        counts, background = found.counts[inside], found.background
        if background is None:
            return refold_cash(counts, source)
        if not background.poisson:
            return refold_cash(counts, source + background.expected[inside])
        return refold_w(counts, source, background.counts[inside], background.scale[inside])


def exceeds(counts: float, expected: float, beside: float | None, scale: float) -> bool:
    """Tell whether counts are more than a background gives by chance in one of a thousand.

    With a measured background the source's share of all counts is binomial (Li & Ma 1983, ApJ 272,
    317, section 2); with one that is known, counts are Poisson.

    Parameters
    ----------
    counts, expected : float
        Observed, and expected of the background.
    beside : float or None
        Counts of a measured background; None where it is known.
    scale : float
        Of one count beside, where there are none to tell.
    """
    if counts == 0:
        return False
    if beside is None:
        return float(gammainc(counts, expected)) < _BY_CHANCE
    scale = expected / beside if beside > 0 else scale
    return float(betainc(counts, beside + 1.0, scale / (1.0 + scale))) < _BY_CHANCE


def _measured(observation: Observation, bins: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Give background counts, their mean scale and the good channels of each bin."""
    background = observation.background
    assert background is not None
    width = to_detector(np.ones(bins.size), bins)
    scale = to_detector(background.scale, bins)
    mean = np.divide(scale, width, out=np.zeros(scale.shape), where=width > 0)
    return to_detector(background.counts, bins), mean, width


def _expected(observation: Observation, bins: NDArray[np.int64]) -> Array:
    """Give the background expected in each detector bin."""
    background = observation.background
    if background is None:
        return to_detector(np.zeros(bins.size), bins)
    if not background.poisson:
        return to_detector(background.expected, bins)
    beside, scale, width = _measured(observation, bins)
    return smooth_background(beside, scale, width=width)
