"""From a deconvolved X-ray spectrum to a density over plasma parameters, by a network.

The network reads the features of `kernels/xray_features.py` and puts out the probability of a
second plasma and two mixtures of Gaussians: `ONE` of them over the four parameters of one plasma,
`TWO` over the six of two. A Gaussian is given coordinate by coordinate, relative to an anchor,

    y_i = m_i + sum_{j<i} t_ij (y_j - m_j) + S_i e_i,   x_i = a_i + s_i y_i,

with e standard normal, x the `COORDINATES`; the anchor of ln nH is the column told with its error,
that of ln norm the level of the spectrum, so that neither norm nor exposure matters. The spectrum
of one plasma says nothing of a second: in a density over all six coordinates its components have
ln second about that of one hundredth, and ln kT2 anywhere below ln kT (`IDLE`).
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.gaussian_mixture import GaussianMixture
from ..kernels.xray_features import SCALARS, TOLD, Known, features, level
from .card import CardError, load_card
from .session import WEIGHTS, open_session, run_in_blocks

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Floating = NDArray[np.floating]

COORDINATES = "ln kT", "abundance", "ln nH", "ln norm", "ln kT2", "ln second"
COLUMN, NORM = 2, 3  # places of ln nH and ln norm
ONE, TWO = 6, 10  # components of one plasma and of two
SIZES = {1: 4, 2: 6}  # coordinates of each
OUTPUTS = 1 + ONE * 15 + TWO * 28
"""Logit of a second plasma; then by component, one plasma first: ln weight, m, ln S, t by rows."""

IDLE = (-0.7, 0.7), (float(np.log(0.01)), 0.3)
"""Mean and deviation of ln kT2 - ln kT and of ln second in the components of one plasma."""

GRAPH = WEIGHTS / "xray_mdn.onnx"
_BLOCK = 64  # spectra that a graph is given at once, always: the rest is padded


class PlasmaDensity(GaussianMixture):
    """Density over the six `COORDINATES`; its first `ONE` components are those of one plasma."""

    @property
    def second(self) -> Array:
        """Probability of a second plasma, both being as probable before, shape (n,)."""
        return self.weights[:, ONE:].sum(axis=1)

    @property
    def one(self) -> GaussianMixture:
        """The density over the first four coordinates if there is one plasma."""
        return self.given(slice(0, ONE)).marginal(slice(0, SIZES[1]))

    @property
    def two(self) -> GaussianMixture:
        """The density over all coordinates if there are two."""
        return self.given(slice(ONE, None))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Stretches a network's densities about their means, and moves them, by the counts.

    A stretch acts on a whole mixture: its components come apart as they widen, so that each
    marginal distribution is what it was but for scale and place.

    Parameters
    ----------
    log_counts : ndarray, shape (knot,)
        ln counts, rising; between, and beyond the ends, as `numpy.interp`.
    one : ndarray, shape (knot, 4)
    two : ndarray, shape (knot, 6)
        Logarithms of the factors there, by coordinate.
    bias_one : ndarray, shape (knot, 4)
    bias_two : ndarray, shape (knot, 6)
        What the densities are off there, in standard deviations of the stretched ones, to be taken
        off.
    """

    log_counts: Array
    one: Array
    two: Array
    bias_one: Array
    bias_two: Array

    def apply(self, plasmas: int, found: GaussianMixture, counts: Array) -> GaussianMixture:
        """Stretch the densities of one plasma or of two, then move them."""
        widths, biases = {1: (self.one, self.bias_one), 2: (self.two, self.bias_two)}[plasmas]
        factor = np.exp(self._at(counts, widths))
        centre, sigma = found.moments()
        move = self._at(counts, biases) * factor * sigma
        away = factor[:, None] * (found.mean - centre[:, None])
        covariance = found.covariance * factor[:, None, :, None] * factor[:, None, None, :]
        return GaussianMixture(found.weights, (centre - move)[:, None] + away, covariance)

    def _at(self, counts: Array, table: Array) -> Array:
        """Interpolate a table, shape (n, coordinate)."""
        at = np.log(np.maximum(counts, 1.0))
        return np.stack([np.interp(at, self.log_counts, column) for column in table.T], axis=1)


class XrayNetwork:
    """A network on a device; safe to share between threads.

    Parameters
    ----------
    device : str
        As of `session.open_session`.
    graph : Path
        The ``.onnx`` file, its card beside it.

    Raises
    ------
    CardError
        If graph and card do not belong together.
    DeviceMissingError
        If the device is not to be had.
    """

    def __init__(self, device: str = "cpu", graph: Path = GRAPH) -> None:
        self.card = load_card(graph)
        self._session = open_session(graph, device)
        self.provider: str = self._session.get_providers()[0]
        try:
            told, seen = self.card.calibration, self.card.holds["features"]
            self.calibration = Calibration(
                *(np.asarray(told[one.name], np.float64) for one in fields(Calibration))
            )
            self._seen = np.asarray(seen["low"]), np.asarray(seen["high"])
        except KeyError as error:
            raise CardError(f"{self.card.name}.json: no {error}; install it again") from None

    def density(
        self,
        log_flux: Floating,
        sigma: Floating,
        *,
        counts: Floating,
        background: Floating,
        redshift: Floating,
        column: Floating,
        column_sigma: Floating,
    ) -> PlasmaDensity:
        """Give the density of each observation.

        Parameters
        ----------
        log_flux, sigma : ndarray, shape (n, energy)
            Of `rim.Rim.deconvolve`.
        counts, background, redshift, column, column_sigma : ndarray, shape (n,)
            As `xray_features.Known` has them: totals of 0.5 to 7 keV, the latter expected; ln nH
            [1e22 cm-2] as it is known with its standard deviation, or NaN.

        Returns
        -------
        PlasmaDensity
            Rows do not depend on each other; NaN where a spectrum is.
        """
        told = features(log_flux, sigma, Known(counts, background, redshift, column, column_sigma))
        outputs = self.outputs(told)
        return density_of(outputs, told, level(log_flux), calibration=self.calibration)

    def outputs(self, told: Single) -> Single:
        """Run the graph, in blocks of one size, so that a row does not depend on its neighbours."""
        return run_in_blocks(self._session, told, block=_BLOCK)

    def out_of_range(
        self,
        log_flux: Floating,
        sigma: Floating,
        *,
        counts: Floating,
        background: Floating,
        redshift: Floating,
        column: Floating,
        column_sigma: Floating,
    ) -> NDArray[np.bool_]:
        """Tell which observations are like none the network was trained on, shape (n,).

        Parameters are those of `density`.
        """
        low, high = self._seen
        told = features(log_flux, sigma, Known(counts, background, redshift, column, column_sigma))
        return np.asarray(((told < low) | (told > high) | np.isnan(told)).any(axis=1))


def anchors(told: Single, log_level: Array, size: int) -> tuple[Array, Array]:
    """Give the anchors a and s of the coordinates, each of shape (n, size)."""
    offset, scale = np.zeros((len(told), size)), np.ones((len(told), size))
    offset[:, COLUMN], scale[:, COLUMN] = told[:, TOLD + 1], np.exp(told[:, TOLD + 2])
    offset[:, NORM] = log_level
    return offset, scale


def split(outputs: Any) -> tuple[Any, Any, Any]:
    """Give the logit, shape (n,), and the numbers of one plasma and two, (n, component, number)."""
    border = 1 + ONE * 15
    one = outputs[:, 1:border].reshape(-1, ONE, 15)
    return outputs[:, 0], one, outputs[:, border:].reshape(-1, TWO, 28)


def density_of(
    outputs: Single, told: Single, log_level: Array, *, calibration: Calibration | None = None
) -> PlasmaDensity:
    """Make densities of the network's outputs.

    Parameters
    ----------
    outputs : ndarray, shape (n, OUTPUTS)
    told : ndarray, shape (n, FEATURES)
    log_level : ndarray, shape (n,)
        Of `xray_features.level`.
    calibration : Calibration, optional
        Widths are left as they are where None.
    """
    logit, *numbers = split(outputs.astype(np.float64))
    counts = np.exp(told[:, -SCALARS].astype(np.float64))
    parts = []
    for plasmas, these in zip(SIZES, numbers, strict=True):
        found = _mixture(these, *anchors(told, log_level, SIZES[plasmas]))
        parts.append(calibration.apply(plasmas, found, counts) if calibration else found)
    one, two = parts[0], parts[1]
    second = 1.0 / (1.0 + np.exp(-logit[:, None]))
    mean, covariance = _idle(one)
    return PlasmaDensity(
        np.concatenate([(1.0 - second) * one.weights, second * two.weights], axis=1),
        np.concatenate([mean, two.mean], axis=1),
        np.concatenate([covariance, two.covariance], axis=1),
    )


def _idle(one: GaussianMixture) -> tuple[Array, Array]:
    """Give mean and covariance over six coordinates where four say all."""
    (ratio, ratio_sigma), (part, part_sigma) = IDLE
    size, shape = SIZES[1], (*one.weights.shape, SIZES[2])
    mean, covariance = np.empty(shape), np.zeros((*shape, SIZES[2]))
    mean[..., :size], mean[..., size], mean[..., size + 1] = one.mean, one.mean[..., 0], part
    mean[..., size] += ratio
    covariance[..., :size, :size] = one.covariance
    covariance[..., size, :size] = covariance[..., :size, size] = one.covariance[..., 0]
    covariance[..., size, size] = one.covariance[..., 0, 0] + ratio_sigma**2
    covariance[..., size + 1, size + 1] = part_sigma**2
    return mean, covariance


def _mixture(numbers: Array, offset: Array, scale: Array) -> GaussianMixture:
    """Make a mixture of the numbers of its components, shape (n, component, number)."""
    size = offset.shape[1]
    log_weight, mean, log_width, slopes = np.split(numbers, [1, 1 + size, 1 + 2 * size], axis=2)
    weights = np.exp(log_weight[..., 0] - log_weight[..., 0].max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((*weights.shape, size, size))
    row, column = np.tril_indices(size, -1)
    matrix[:, :, row, column] = -slopes
    matrix += np.eye(size)
    # y - m = L e with L = (1 - T)^-1 diag(S)
    factor = np.linalg.inv(matrix) * np.exp(log_width)[:, :, None, :]
    factor = factor * scale[:, None, :, None]
    covariance = factor @ np.swapaxes(factor, -1, -2)
    return GaussianMixture(weights, offset[:, None] + scale[:, None] * mean, covariance)
