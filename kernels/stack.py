"""Stacks deconvolved spectra of one source: an inverse-variance mean with its band.

Members i have y_ie = ln flux in bin e with a standard deviation s_ie. The stack is

    y_e = sum_i y_ie / s_ie^2 / sum_i 1 / s_ie^2,    s_e^2 = 1 / sum_i 1 / s_ie^2.

It is made of logarithms because there the error hardly depends on the value: a mean of fluxes
weighted so would follow the members that happened to come out low.

Deconvolution leaves neighbouring bins correlated. The correlation is estimated, not assumed: with
the whitened departures u_ie = (y_ie - y_e) / sqrt(s_ie^2 - s_e^2), which have unit variance if the
members are independent, r(k) is the mean of u_ie u_i,e+k over that of u_ie^2. It enters twice:
where a member is moved by part of a bin (the variance of an interpolated value depends on r(1)),
and in everything that is summed over bins, as `mean_sigma` does.

The jackknife (Tukey 1958) takes each member out in turn and needs no s_ie. Where it comes out below
the band, members are more alike than their bands say, as spectra are that one prior has drawn to
itself; a stack does not average that out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LAGS = 32  # bins over which correlations are followed


@dataclass(frozen=True, slots=True)
class Stack:
    """The mean of some spectra.

    Parameters
    ----------
    log_flux, sigma : ndarray, shape (energy,)
        ln of the flux density and its standard deviation; NaN where no member knows them.
    jackknife : ndarray, shape (energy,)
        Standard deviation by the jackknife; NaN where fewer than two members reach.
    correlation : ndarray, shape (lag + 1,)
        Of departures so many bins apart, one at first; NaN where it cannot be estimated.
    members : ndarray of int, shape (energy,)
        How many reach each bin.
    """

    log_flux: Array
    sigma: Array
    jackknife: Array
    correlation: Array
    members: NDArray[np.int64]

    @property
    def length(self) -> float:
        """Bins that go together: one and twice the sum of correlations up to the first below zero.

        NaN where correlations are not known.
        """
        return correlation_length(self.correlation)

    @property
    def ratio(self) -> float:
        """Jackknife over band, median over bins; NaN for a single member."""
        known = np.isfinite(self.jackknife) & (self.sigma > 0)
        if not known.any():
            return float("nan")
        return float(np.median(self.jackknife[known] / self.sigma[known]))


def stack(log_flux: Array, sigma: Array, *, shift: Array | None = None) -> Stack:
    """Average spectra by their inverse variances.

    Parameters
    ----------
    log_flux, sigma : ndarray, shape (member, energy)
        ln of the flux density and its standard deviation on one logarithmic grid. A bin without a
        value is NaN. Where no member has a sigma, all weigh the same and the band is NaN.
    shift : ndarray, shape (member,)
        Bins by which each member is moved to higher energies; none where None.

    Returns
    -------
    Stack

    Raises
    ------
    ValueError
        If there is no member, or shapes disagree.
    """
    if log_flux.ndim != 2 or log_flux.shape != sigma.shape or not log_flux.shape[0]:
        raise ValueError(f"log_flux has shape {log_flux.shape}, sigma {sigma.shape}")
    moves = np.zeros(log_flux.shape[0]) if shift is None else np.asarray(shift, np.float64)
    whole = np.rint(moves)
    correlation = _correlation(
        *(_moved(array, whole.astype(np.int64)) for array in (log_flux, sigma))
    )
    near = float(np.nan_to_num(correlation[1], nan=0.0))
    values, errors = _interpolated(log_flux, sigma, moves, near)
    mean, error = _mean(values, errors)
    return Stack(
        mean, error, _jackknife(values, errors), correlation, np.isfinite(values).sum(axis=0)
    )


def correlation_length(correlation: Array) -> float:
    """Give how many bins go together, at least one; NaN where correlations are not known."""
    if not np.isfinite(correlation).all():
        return float("nan")
    positive = np.cumprod(correlation > 0).astype(bool)
    return float(max(1.0, 2.0 * correlation[positive].sum() - 1.0))


def mean_sigma(sigma: Array, correlation: Array, weight: Array) -> float:
    """Give the standard deviation of a weighted mean over bins that are correlated.

    Parameters
    ----------
    sigma : ndarray, shape (energy,)
        Of each bin.
    correlation : ndarray, shape (lag + 1,)
        As of a `Stack`; none beyond the last lag.
    weight : ndarray, shape (energy,)
        Zero for bins left out.

    Returns
    -------
    float
    """
    used = np.flatnonzero(weight)
    part = weight[used] * sigma[used] / weight.sum()
    apart = np.abs(used[:, None] - used)
    together = np.where(
        apart < correlation.size, correlation[np.minimum(apart, correlation.size - 1)], 0.0
    )
    return float(np.sqrt(max(part @ together @ part, 0.0)))


def _weights(values: Array, errors: Array) -> Array:
    """Give inverse variances, zero where a member says nothing; one where none has a sigma."""
    known = np.isfinite(values)
    if not np.isfinite(errors).any():
        return known.astype(np.float64)
    safe = np.where(known & (errors > 0), errors, np.inf)
    return 1.0 / np.square(safe)


def _mean(values: Array, errors: Array) -> tuple[Array, Array]:
    """Average over members, shapes (energy,)."""
    weight = _weights(values, errors)
    total = weight.sum(axis=0)
    some = total > 0
    mean = np.full(total.shape, np.nan)
    np.divide((weight * np.nan_to_num(values)).sum(axis=0), total, out=mean, where=some)
    error = np.full(total.shape, np.nan)
    if np.isfinite(errors).any():
        error[some] = 1.0 / np.sqrt(total[some])
    return mean, error


def _jackknife(values: Array, errors: Array) -> Array:
    """Give the standard deviation of the mean by leaving out each member in turn."""
    members = np.isfinite(values).sum(axis=0)
    kept = [np.delete(np.arange(values.shape[0]), one) for one in range(values.shape[0])]
    if len(kept) < 2:
        return np.full(values.shape[1], np.nan)
    without = np.stack([_mean(values[rows], errors[rows])[0] for rows in kept])
    # Who is left out where it has nothing to say changes nothing, and is not counted.
    without = np.where(np.isfinite(values), without, np.nan)
    enough = members >= 2
    found = np.full(values.shape[1], np.nan)
    here = without[:, enough]
    centre = np.nansum(here, axis=0) / members[enough]
    spread = np.nansum(np.square(here - centre), axis=0)
    found[enough] = np.sqrt((members[enough] - 1) / members[enough] * spread)
    return found


def _correlation(values: Array, errors: Array) -> Array:
    """Estimate the correlation between bins from the members' departures from their mean."""
    lags = min(_LAGS, values.shape[1] - 1)
    unknown = np.concatenate([[1.0], np.full(lags, np.nan)])
    mean, error = _mean(values, errors)
    left = np.square(errors) - np.square(error)
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(values) & (left > 1e-9 * np.square(errors))
    if np.count_nonzero(usable.any(axis=1)) < 2:
        return unknown
    u = np.where(usable, (values - mean) / np.sqrt(np.where(usable, left, 1.0)), 0.0)
    own = np.square(u).sum() / usable.sum()
    found = [1.0]
    for lag in range(1, lags + 1):
        pairs = (usable[:, lag:] & usable[:, :-lag]).sum()
        product = float((u[:, lag:] * u[:, :-lag]).sum())
        found.append(product / pairs / own if pairs and own > 0 else 0.0)
    return np.clip(np.array(found), -1.0, 1.0)


def _moved(rows: Array, steps: NDArray[np.int64]) -> Array:
    """Move each row by whole bins; what comes in is NaN."""
    size = rows.shape[1]
    source = np.arange(size) - steps[:, None]
    inside = (source >= 0) & (source < size)
    return np.where(inside, np.take_along_axis(rows, np.clip(source, 0, size - 1), axis=1), np.nan)


def _interpolated(values: Array, errors: Array, moves: Array, near: float) -> tuple[Array, Array]:
    """Move each row by part of a bin too, its error with the correlation of neighbours."""
    below = np.floor(moves).astype(np.int64)
    part = (moves - below)[:, None]
    # At the place e the moved row is that of e - move: between e - below - 1 and e - below.
    pairs = [(_moved(array, below), _moved(array, below + 1)) for array in (values, errors)]
    (high, low), (high_error, low_error) = pairs
    straight = part == 0
    value = np.where(straight, high, (1.0 - part) * high + part * low)
    variance = np.square((1.0 - part) * high_error) + np.square(part * low_error)
    variance = variance + 2.0 * near * (1.0 - part) * part * high_error * low_error
    return value, np.where(straight, high_error, np.sqrt(np.maximum(variance, 0.0)))
