"""Fit statistics of counts, and what they are expected to be when the model is true.

Cash's statistic (1979, ApJ 228, 939) in Castor's form is, for n counts where m are expected,

    C = 2 [m - n + n ln(n / m)].

The W statistic (XSPEC manual, appendix B) has, in addition, B counts beside the source that were
drawn from an unknown background, of which `scale` times as many are expected in the source's bin.
The background b in the source's bin that makes both likeliest is the positive root of

    k b^2 - (n + B - k m) b - B m = 0,   k = 1 + 1 / scale,

and W = C(n, m + b) + C(B, b / scale). XSPEC's special cases for n = 0 and B = 0 are its limits.

Neither is a chi-squared at low counts: their mean and variance at a model are sums over the
Poisson law (Kaastra 2017, A&A 605, A51), taken here term by term. Where the law is wide only
every s-th term is taken, s two thirds of its standard deviation: for a function this smooth the sum
is then still good to 1e-9, so that a bin costs as much at 1e6 counts as at ten.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, kl_div, xlogy

Array = NDArray[np.float64]

# Terms of a Poisson sum: those up to the mean and 8.7 standard deviations where every one is taken,
# else from 7.5 below the mean to more than 8 above, in whole steps of 2/3 of one or less.
_TERMS = 60
# Below this mean every term is taken: no counts, where n ln n is not smooth, are likely there.
_EVERY_BELOW = 20.0
_NEGLIGIBLE = 1e-14  # weight of a pair of terms that is left out


class Moments(NamedTuple):
    """Mean and variance of a statistic, bin by bin."""

    mean: Array
    variance: Array


def gaussian(data: ArrayLike, model: ArrayLike, sigma: ArrayLike) -> Array:
    """Give chi-squared of each bin: expected 1, variance 2.

    Parameters
    ----------
    data, model, sigma : array_like, shape (..., bin)

    Returns
    -------
    ndarray, shape (..., bin)
    """
    data, model, sigma = (np.asarray(array, dtype=np.float64) for array in (data, model, sigma))
    return np.square((data - model) / sigma)


def cash(counts: ArrayLike, model: ArrayLike) -> Array:
    """Give the Cash statistic of each bin.

    Parameters
    ----------
    counts : array_like, shape (..., bin)
        Observed; need not be whole.
    model : array_like, shape (..., bin)
        Expected; zero gives infinity where there are counts.

    Returns
    -------
    ndarray, shape (..., bin)
    """
    return 2.0 * kl_div(np.asarray(counts, np.float64), np.asarray(model, np.float64))


def cash_moments(model: ArrayLike) -> Moments:
    """Give mean and variance of the Cash statistic when the model is true.

    Parameters
    ----------
    model : array_like, shape (bin,)
        Expected counts.

    Returns
    -------
    Moments
        Of shape (bin,).
    """
    model = np.asarray(model, dtype=np.float64)
    counts, weights = _terms(model)
    return _moments(cash(counts, model[..., None]), weights)


def background_in_source(
    counts: ArrayLike, model: ArrayLike, beside: ArrayLike, scale: ArrayLike
) -> Array:
    """Give the background in the source's bins that makes source and background likeliest.

    Parameters
    ----------
    counts : array_like, shape (..., bin)
        In the source's bin.
    model : array_like, shape (..., bin)
        Expected of the source alone.
    beside : array_like, shape (..., bin)
        Counts of the background.
    scale : array_like, shape (..., bin)
        Background counts expected in the source's bin for one beside; zero for none.

    Returns
    -------
    ndarray, shape (..., bin)
        Expected counts.
    """
    n, m, off, scale = np.broadcast_arrays(
        *(np.asarray(array, dtype=np.float64) for array in (counts, model, beside, scale))
    )
    measured = scale > 0
    k = 1.0 + 1.0 / np.where(measured, scale, 1.0)
    half = 0.5 * (n + off - k * m)
    root = np.sqrt(half * half + k * off * m)
    # The form of the root without a difference of what is nearly equal.
    below = np.divide(off * m, root - half, out=np.zeros(n.shape), where=(half < 0) & (root > half))
    return np.where(measured, np.where(half < 0, below, (half + root) / k), 0.0)


def w_statistic(counts: ArrayLike, model: ArrayLike, beside: ArrayLike, scale: ArrayLike) -> Array:
    """Give the W statistic of each bin.

    Parameters
    ----------
    counts, model, beside, scale : array_like, shape (..., bin)
        As of `background_in_source`.

    Returns
    -------
    ndarray, shape (..., bin)
        The Cash statistic where `scale` is zero.
    """
    model, scale = np.asarray(model, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    inside = background_in_source(counts, model, beside, scale)
    measured = scale > 0
    outside = np.where(measured, inside / np.where(measured, scale, 1.0), beside)
    return cash(counts, model + inside) + cash(beside, outside)


def w_moments(model: ArrayLike, background: ArrayLike, scale: ArrayLike) -> Moments:
    """Give mean and variance of the W statistic when model and background are true.

    Parameters
    ----------
    model : array_like, shape (bin,)
        Expected of the source alone.
    background : array_like, shape (bin,)
        Expected of the background in the source's bin.
    scale : array_like, shape (bin,)
        As of `background_in_source`.

    Returns
    -------
    Moments
        Of shape (bin,).
    """
    model, background, scale = np.broadcast_arrays(
        *(np.asarray(array, dtype=np.float64) for array in (model, background, scale))
    )
    measured = scale > 0
    off = np.where(measured, background / np.where(measured, scale, 1.0), 0.0)
    counts, weights = _terms(model + np.where(measured, background, 0.0))
    beside, weights_beside = _terms(off)
    pairs = weights[:, :, None] * weights_beside[:, None, :]
    bins, i, j = np.nonzero(pairs > _NEGLIGIBLE)
    weight = pairs[bins, i, j]
    value = w_statistic(counts[bins, i], model[bins], beside[bins, j], scale[bins])
    mean = np.zeros(model.size)
    np.add.at(mean, bins, weight * value)
    variance = np.zeros(model.size)
    np.add.at(variance, bins, weight * np.square(value - mean[bins]))
    return Moments(mean, variance)


def _terms(mean: Array) -> tuple[Array, Array]:
    """Give counts and their weights, by which sums over the Poisson law are taken.

    Both have shape (bin, term).
    """
    sigma = np.sqrt(mean)
    wide = mean > _EVERY_BELOW
    step = np.where(wide, np.floor(sigma / 1.5), 1.0)
    low = np.where(wide, np.maximum(np.floor(mean - 7.5 * sigma), 0.0), 0.0)
    counts = low[..., None] + step[..., None] * np.arange(_TERMS, dtype=np.float64)
    weights = np.exp(xlogy(counts, mean[..., None]) - mean[..., None] - gammaln(counts + 1.0))
    return counts, weights / weights.sum(axis=-1, keepdims=True)


def _moments(values: Array, weights: Array) -> Moments:
    """Give mean and variance of values under weights along the last axis."""
    # A term that cannot occur has no weight, whatever its value.
    values = np.where(weights > 0, values, 0.0)
    mean = (weights * values).sum(axis=-1)
    return Moments(mean, (weights * np.square(values - mean[..., None])).sum(axis=-1))
