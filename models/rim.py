"""The recurrent inference machine: counts, response and background to an intrinsic spectrum.

Each observation takes three steps: the fit of `kernels.unfold_prior` under a learned Gaussian
prior, from which the network of ``rim.onnx`` starts; the network, which gives ln flux and ln sigma;
and for bright spectra `kernels.consistency`, which widens the bands of what it has to change much.
Sigma is multiplied by a temperature that depends on
the counts, found on simulations of their own, so that 68 % and 95 % bands hold as many truths.
The freedom of the result is a share, found on the same simulations, of that of the first fit.

How it was trained and where it holds is on its card, ``rim.json``.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..kernels.consistency import consistent
from ..kernels.response import DETECTOR_EDGES, ENERGY_EDGES
from ..kernels.unfold_prior import SpectralPrior, fit_prior
from .card import Card, CardError, load_card
from .deconvolver import Deconvolved
from .session import WEIGHTS, open_session

Array = NDArray[np.float64]
Single = NDArray[np.float32]

RIM = WEIGHTS / "rim.onnx"
_DETECTOR, _ENERGY = DETECTOR_EDGES.size - 1, ENERGY_EDGES.size - 1


class Rim:
    """The network with what goes before and after it.

    Parameters
    ----------
    device : str
        As of `session.open_session`.
    weights : Path, optional
        An ``.onnx`` file with its card, and the prior it was trained with beside it as
        ``NAME_prior.npz``; the one shipped where None.

    Attributes
    ----------
    path : Path
        Of the graph.
    card : Card
    prior : SpectralPrior

    Raises
    ------
    CardError
        If one of the files is missing or is not the one its card describes.
    DeviceMissingError
        If the device is not to be had.
    """

    def __init__(self, device: str = "cpu", weights: Path | None = None) -> None:
        self.path = RIM if weights is None else weights
        self.card: Card = load_card(self.path)
        self.prior = load_prior(self.path)
        self._steps = int(self.card.training["prior_steps"])
        self._calibration = Calibration(self.card)
        self._session = open_session(self.path, device)

    def deconvolve(self, counts: Array, response: Array, background: Array) -> Deconvolved:
        """Give the intrinsic spectra of a batch.

        Parameters
        ----------
        counts : ndarray, shape (observation, detector)
        response : ndarray, shape (observation, detector, energy)
            A of `kernels.response.working_matrix`, float32 or float64.
        background : ndarray, shape (observation, detector)
            Counts expected that are not of the source.

        Returns
        -------
        Deconvolved
            Rows are computed one by one and do not depend on each other. NaN where there are no
            counts, no response, or numbers that are not finite.

        Raises
        ------
        ValueError
            If a shape is not that of the working grid.
        """
        rows = counts.shape[0]
        for name, array, shape in (
            ("counts", counts, (rows, _DETECTOR)),
            ("response", response, (rows, _DETECTOR, _ENERGY)),
            ("background", background, (rows, _DETECTOR)),
        ):
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, the network takes {shape}")
        log_flux = np.full((rows, _ENERGY), np.nan)
        sigma, in_range = np.full((rows, _ENERGY), np.nan), np.zeros(rows, dtype=np.bool_)
        freedom = np.full(rows, np.nan)
        for row in range(rows):
            single = tuple(
                np.ascontiguousarray(array[row], np.float32)
                for array in (counts, response, background)
            )
            if _usable(*single):
                given = counts[row], response[row], background[row]
                log_flux[row], sigma[row], freedom[row] = self._one(single, *given)
                in_range[row] = self._calibration.holds(*given)
        return Deconvolved(log_flux, sigma, in_range, freedom)

    def _one(
        self, single: tuple[Single, ...], counts: Array, response: Array, background: Array
    ) -> tuple[Array, Array, float]:
        """Deconvolve one observation; give ln flux, its standard deviation and its freedom."""
        rows = tuple(array[None] for array in single)
        start = fit_prior(self.prior, *rows, steps=self._steps)
        feed = (*rows, start.log_flux, start.covariance)
        names = [tensor.name for tensor in self.card.inputs]
        found = self._session.run(None, dict(zip(names, feed, strict=True)))
        log_flux, log_sigma = (np.asarray(one, np.float64)[0] for one in found)
        total = float(counts.sum())
        sigma = np.exp(log_sigma)
        if total >= self._calibration.bright:
            matrix, known = np.asarray(response, np.float64), np.asarray(background, np.float64)
            data = np.asarray(counts, np.float64)
            log_flux, widened = consistent(matrix, data, known, log_flux, sigma)
            sigma = sigma * widened
        freedom = float(start.freedom[0]) * self._calibration.freedom(total)
        return log_flux, sigma * self._calibration.temperature(total), freedom


class Calibration:
    """What a card says on sigma and on the range in which all holds.

    Parameters
    ----------
    card : Card

    Raises
    ------
    CardError
        If it says nothing.
    """

    def __init__(self, card: Card) -> None:
        try:
            self._log_counts = np.asarray(card.calibration["log10_counts"], np.float64)
            self._temperature = np.asarray(card.calibration["temperature"], np.float64)
            self._freedom = np.asarray(card.calibration["freedom"], np.float64)
            self.bright = float(card.calibration["consistent_above_counts"])
            self._counts = tuple(float(one) for one in card.holds["counts"])
            self._share = float(card.holds["background_share"])
        except KeyError as error:
            raise CardError(f"{card.name}.json: no {error}; install it again") from None

    def temperature(self, counts: float) -> float:
        """Give what sigma is multiplied with at so many counts."""
        return self._at(counts, self._temperature)

    def freedom(self, counts: float) -> float:
        """Give the share of the first fit's freedom that the result has at so many counts."""
        return self._at(counts, self._freedom)

    def _at(self, counts: float, values: Array) -> float:
        """Interpolate in the logarithm of the counts."""
        return float(np.interp(np.log10(max(counts, 1.0)), self._log_counts, values))

    def holds(self, counts: Array, response: Array, background: Array) -> bool:
        """Whether an observation is like those trained and tested on."""
        total, low, high = float(counts.sum()), *self._counts
        return low <= total <= high and float(background.sum()) <= self._share * total


def load_prior(path: Path) -> SpectralPrior:
    """Open the prior that belongs to a network.

    Parameters
    ----------
    path : Path
        The ``.onnx`` file.

    Returns
    -------
    SpectralPrior

    Raises
    ------
    CardError
        If it is missing or is not the one its card describes.
    """
    beside = path.with_name(f"{path.stem}_prior.npz")
    load_card(beside)
    with np.load(beside) as held:
        return SpectralPrior(held["mean"], held["basis"])


def _usable(counts: Single, response: Single, background: Single) -> bool:
    """Whether anything can be said of an observation."""
    # What is not finite makes the sum not finite.
    sums = [float(one.sum()) for one in (counts, response, background)]
    if not np.isfinite(sums).all() or min(sums[:2]) <= 0:
        return False
    return bool(min(counts.min(), response.min(), background.min()) >= 0)
