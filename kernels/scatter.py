"""Scatter of the channels of a spectrum that hold no light: asked of every spaxel, so compiled."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_FEWEST = 20  # channels that measure a noise to 16 %


def scatter(
    spectra: NDArray[np.floating],
    channels: NDArray[np.bool_] | None = None,
    *,
    less: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Give the standard deviation of each spectrum about its mean, NaN channels left out.

    Parameters
    ----------
    spectra : ndarray, shape (spaxel, channel)
    channels : ndarray of bool, shape (channel,), optional
        Those that count; all if None.
    less : ndarray, shape (spaxel, channel), optional
        A model to take out first.

    Returns
    -------
    ndarray, shape (spaxel,)
        NaN where fewer than twenty channels are finite.
    """
    chosen = np.arange(spectra.shape[1]) if channels is None else np.flatnonzero(channels)
    model = np.zeros((0, spectra.shape[1])) if less is None else less
    out = np.empty(spectra.shape[0])
    _fill(spectra, chosen, model, out)
    return out


@njit(cache=True, nogil=True)
def _fill(spectra, chosen, less, out):  # pragma: no cover - compiled
    """Two passes, so that a level far above its scatter loses no digits."""
    values = np.empty(chosen.size)
    for s in range(spectra.shape[0]):
        used, total = 0, 0.0
        for i in chosen:
            value = np.float64(spectra[s, i])
            if less.shape[0]:
                value -= less[s, i]
            if np.isfinite(value):
                values[used] = value
                total += value
                used += 1
        if used < _FEWEST:
            out[s] = np.nan
            continue
        mean, squares = total / used, 0.0
        for k in range(used):
            squares += (values[k] - mean) ** 2
        out[s] = np.sqrt(squares / (used - 1))
