"""Pareto-smoothed importance sampling: weights that can be trusted, and a number that says so.

Draws of a proposal q, weighed by p / q, stand for the target p. A few large weights may carry all
of it. The largest M of S weights are replaced by what a generalised Pareto distribution expects of
their order statistics, and its shape k tells how heavy the tail is: below 0.5 the variance of the
weights is finite, up to 0.7 estimates are good in practice, above that they are not (Vehtari,
Simpson, Gelman, Yao & Gabry 2024, JMLR 25, 72, algorithm 1). The distribution is fitted as by
Zhang & Stephens (2009, Technometrics 51, 316), with the weak prior towards k = 0.5 of Vehtari et
al., appendix G. All rows are done at once.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRUSTED = 0.7
"""Greatest k-hat at which estimates are good in practice (Vehtari et al. 2024, section 3.2)."""

_PRIOR_DRAWS, _PRIOR_SHAPE = 10.0, 0.5  # Vehtari et al. 2024, appendix G
_QUARTILES = 3.0  # scale of the prior of theta, in quartiles: Zhang & Stephens 2009, eq. 8


def smooth(log_weight: Array) -> tuple[Array, Array]:
    """Smooth the largest importance weights of each row.

    Parameters
    ----------
    log_weight : ndarray, shape (row, draw)
        ln p - ln q of each draw, both but for a constant; -inf where p is zero. At least 25 draws.

    Returns
    -------
    log_weight : ndarray, shape (row, draw)
        Smoothed, normalised to a sum of weights of one. NaN where no draw has a finite one.
    shape : ndarray, shape (row,)
        k-hat; -inf where all weights of the tail are equal, inf where less than five draws have a
        weight.

    Raises
    ------
    ValueError
        If there are less than 25 draws: their tail would be less than five.
    """
    rows, draws = log_weight.shape
    if draws < 25:
        raise ValueError(f"{draws} draws have too short a tail to smooth; draw 25 at least")
    tail = int(np.ceil(min(0.2 * draws, 3.0 * np.sqrt(draws))))
    order = np.argsort(log_weight, axis=1)
    largest = np.take_along_axis(log_weight, order[:, -1:], axis=1)
    with np.errstate(invalid="ignore"):
        shifted = np.where(np.isfinite(largest), log_weight - largest, np.nan)
    ascending = np.take_along_axis(shifted, order, axis=1)
    cut = np.exp(ascending[:, -tail - 1 : -tail])
    excess = np.exp(ascending[:, -tail:]) - cut
    shape = np.full(rows, np.inf)
    shape[excess[:, -1] <= 0] = -np.inf
    fitted = np.flatnonzero((excess[:, 0] > 0) & (excess[:, -1] > 0))
    if fitted.size:
        shape[fitted], scale = fit_pareto(excess[fitted])
        expected = cut[fitted] + _quantiles(tail, shape[fitted], scale)
        ascending[fitted, -tail:] = np.minimum(np.log(expected), 0.0)
    smoothed = np.empty_like(ascending)
    np.put_along_axis(smoothed, order, ascending, axis=1)
    return smoothed - np.log(np.exp(smoothed).sum(axis=1, keepdims=True)), shape


def fit_pareto(excess: Array) -> tuple[Array, Array]:
    """Fit generalised Pareto distributions.

    Parameters
    ----------
    excess : ndarray, shape (row, draw)
        Positive, ascending.

    Returns
    -------
    shape, scale : ndarray, shape (row,)
        k, drawn weakly to 0.5, and sigma, of the density (1 + k x / sigma)^(-1 / k - 1) / sigma.
    """
    count = excess.shape[1]
    size = 30 + int(np.sqrt(count))
    quartile = excess[:, int(count / 4 + 0.5) - 1, None]
    steps = 1.0 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))
    theta = 1.0 / excess[:, -1:] + steps / (_QUARTILES * quartile)
    k = np.mean(np.log1p(-theta[:, :, None] * excess[:, None, :]), axis=2)
    profile = count * (np.log(-theta / k) - k - 1.0)  # profile ln likelihood, eq. 6
    weight = np.exp(profile - profile.max(axis=1, keepdims=True))
    mean = (theta * weight).sum(axis=1) / weight.sum(axis=1)
    shape = np.mean(np.log1p(-mean[:, None] * excess), axis=1)
    scale = -shape / mean
    shape = (count * shape + _PRIOR_DRAWS * _PRIOR_SHAPE) / (count + _PRIOR_DRAWS)
    return shape, scale


def _quantiles(count: int, shape: Array, scale: Array) -> Array:
    """Give the expected order statistics, shape (row, count)."""
    log_survival = np.log1p(-(np.arange(count) + 0.5) / count)
    k = shape[:, None]
    small = np.abs(k) < 1e-8
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        growth = np.where(small, -log_survival, np.expm1(-k * log_survival) / k)
    return scale[:, None] * growth


def effective_draws(log_weight: Array) -> Array:
    """Give the effective number of draws, 1 / sum w^2 of normalised weights, shape (row,)."""
    return 1.0 / np.exp(2.0 * log_weight).sum(axis=1)
