"""Scatter of the channels of a spectrum that hold no light: asked of every spaxel, so compiled."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .profile import FAST_MATH

_FEWEST = 20  # channels that measure a noise to 16 %


def runs_of(channels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First channel and end of every stretch of a mask that is true, shape (run, 2)."""
    return np.flatnonzero(np.diff(np.r_[False, channels, False].astype(np.int8))).reshape(-1, 2)


def scatter(
    spectra: NDArray[np.floating],
    channels: NDArray[np.bool_] | None = None,
    *,
    rows: NDArray[np.int64] | None = None,
    less: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Give the standard deviation of each spectrum about its mean, NaN channels left out.

    Parameters
    ----------
    spectra : ndarray, shape (spaxel, channel)
    channels : ndarray of bool, shape (channel,), optional
        Those that count; all if None.
    rows : ndarray of int, shape (row,), optional
        Spectra wanted; all if None.
    less : ndarray, shape (row, channel), optional
        A model to take out first.

    Returns
    -------
    ndarray, shape (row,)
        NaN where fewer than twenty channels are finite.
    """
    chosen = np.ones(spectra.shape[1], dtype=bool) if channels is None else channels
    wanted = np.arange(spectra.shape[0]) if rows is None else rows
    model = np.zeros((0, spectra.shape[1])) if less is None else less
    out = np.empty(wanted.size)
    _fill(spectra, wanted, runs_of(chosen), model, out)
    return out


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _sums(spectrum, runs, level):  # pragma: no cover - compiled
    """How many channels, and the sums of what they are above `level` and of its square."""
    size, total, squares = 0, 0.0, 0.0
    for k in range(runs.shape[0]):
        first = runs[k, 0]
        for i in range(runs[k, 1] - first):
            value = spectrum[first + i] - level
            total += value
            squares += value * value
        size += runs[k, 1] - first
    return size, total, squares


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _less(spectrum, model, runs, out):  # pragma: no cover - compiled
    """Fill `out` with spectrum less model in the runs."""
    for k in range(runs.shape[0]):
        first = runs[k, 0]
        for i in range(runs[k, 1] - first):
            out[first + i] = spectrum[first + i] - model[first + i]


@njit(cache=True, nogil=True)
def _finite(spectrum, runs):  # pragma: no cover - compiled
    """Give the runs of a spectrum without the channels that are not finite."""
    found, count = np.empty((spectrum.size // 2 + 1, 2), np.int64), 0
    for k in range(runs.shape[0]):
        inside = False
        for i in range(runs[k, 0], runs[k, 1] + 1):
            good = i < runs[k, 1] and np.isfinite(spectrum[i])
            if good and not inside:
                found[count, 0] = i
            if inside and not good:
                found[count, 1] = i
                count += 1
            inside = good
    return found[:count]


@njit(cache=True, nogil=True)
def _of(spectrum, runs):  # pragma: no cover - compiled
    """Scatter of one spectrum; sums run from one of its values, lest a high level eat digits."""
    if runs.shape[0] == 0:
        return np.nan
    size, total, squares = _sums(spectrum, runs, np.float64(spectrum[runs[0, 0]]))
    if not np.isfinite(squares):
        good = _finite(spectrum, runs)
        if good.shape[0] == 0:
            return np.nan
        size, total, squares = _sums(spectrum, good, np.float64(spectrum[good[0, 0]]))
    if size < _FEWEST:
        return np.nan
    return np.sqrt(max(squares - total * total / size, 0.0) / (size - 1))


@njit(cache=True, nogil=True)
def _fill(spectra, rows, runs, less, out):  # pragma: no cover - compiled
    remains = np.empty(spectra.shape[1])
    for s in range(rows.size):
        if less.shape[0]:
            _less(spectra[rows[s]], less[s], runs, remains)
            out[s] = _of(remains, runs)
        else:
            out[s] = _of(spectra[rows[s]], runs)
