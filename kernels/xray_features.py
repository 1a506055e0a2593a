"""What a network is told of a deconvolved spectrum: shapes in two frames, depth, and what is known.

On logarithmic bins a redshift is a shift: line complexes and the bend of the continuum stand at the
same places once ln x is read at E / (1 + z), while absorption by the Galaxy stays where it is in
the observed frame. So both are given, relative to the level

    ln F,   F = int x dE over `BAND`,

which makes them independent of norm, exposure and distance. Missing rest energies are filled with
the value at the end. The column is told as ln nH and how well it is known, or not at all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .response import ENERGY_EDGES

Array = NDArray[np.float64]
Floating = NDArray[np.floating]

BAND = 0.7, 5.0
"""Energies over which the level is taken [keV]."""

_PAIRED, _COARSE = 2, 4  # bins averaged: a quarter of the resolution at 1 keV, and a half of it
_SHAPE, _DEPTH = 256 // _PAIRED, 256 // _COARSE
SCALARS = 7
"""Features that are no spectrum; they stand last."""
FEATURES = 2 * _SHAPE + _DEPTH + SCALARS
TOLD = -3
"""Where the three features of the column begin: known or not, ln nH, ln of its error."""

_STEP = float(np.log(ENERGY_EDGES[1] / ENERGY_EDGES[0]))
_WIDTHS = np.diff(ENERGY_EDGES)
_IN_BAND = (ENERGY_EDGES[:-1] > BAND[0]) & (ENERGY_EDGES[1:] < BAND[1])
_FAINTEST, _BRIGHTEST = -12.0, 6.0  # ln x over F [1/keV]: beyond, nothing was measured
_USUAL_COLUMN = float(np.log(0.1))  # ln 1e22 cm-2: where a column that is not known is put
_USUAL_ERROR = 1.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of observations beside their deconvolved spectra; all of shape (n,).

    Parameters
    ----------
    counts : ndarray
        Observed, background included.
    background : ndarray
        Of these, expected not to be of the source.
    redshift : ndarray
    column : ndarray
        ln nH [1e22 cm-2] of the Galaxy; NaN where it is not known.
    column_sigma : ndarray
        Its standard deviation; not read where the column is NaN.
    """

    counts: Floating
    background: Floating
    redshift: Floating
    column: Floating
    column_sigma: Floating


def level(log_flux: Floating) -> Array:
    """Give ln of the photon flux in `BAND` [photons/cm2/s], shape (n,)."""
    inside = np.where(_IN_BAND, log_flux.astype(np.float64), -np.inf)
    top = inside.max(axis=1)
    total = (np.exp(inside - top[:, None]) * _WIDTHS).sum(axis=1)
    return np.asarray(top + np.log(total))


def features(log_flux: Floating, sigma: Floating, known: Known) -> NDArray[np.float32]:
    """Describe spectra.

    Parameters
    ----------
    log_flux, sigma : ndarray, shape (n, energy)
        ln x [photons/cm2/s/keV] on `ENERGY_EDGES` and its standard deviation.
    known : Known

    Returns
    -------
    ndarray, shape (n, FEATURES)
        NaN where a spectrum is.
    """
    rows = len(log_flux)
    shape = np.clip(log_flux.astype(np.float64) - level(log_flux)[:, None], _FAINTEST, _BRIGHTEST)
    stretch = np.log1p(np.asarray(known.redshift, np.float64))
    depth = np.log(np.clip(sigma, 1e-3, 10.0)).reshape(rows, _DEPTH, _COARSE).mean(axis=2)
    told = np.isfinite(known.column)
    scalars = np.stack(
        [
            np.log(np.maximum(known.counts, 1.0)),
            np.log(np.maximum(known.counts - known.background, 1.0)),
            known.background / np.maximum(known.counts, 1.0),
            stretch,
            told.astype(np.float64),
            np.where(told, known.column, _USUAL_COLUMN),
            np.log(np.where(told, known.column_sigma, _USUAL_ERROR)),
        ],
        axis=1,
    )
    spectra = (_paired(shape), _paired(_at_rest(shape, stretch)), depth)
    return np.concatenate([*spectra, scalars], axis=1).astype(np.float32)


def _paired(shape: Array) -> Array:
    """Average neighbouring bins."""
    return shape.reshape(len(shape), _SHAPE, _PAIRED).mean(axis=2)


def _at_rest(shape: Array, stretch: Array) -> Array:
    """Read spectra at the energies that rest energies are observed at."""
    place = np.clip(np.arange(shape.shape[1]) - stretch[:, None] / _STEP, 0.0, None)
    low = np.minimum(place.astype(np.int64), shape.shape[1] - 2)
    part = place - low
    below = np.take_along_axis(shape, low, axis=1)
    above = np.take_along_axis(shape, low + 1, axis=1)
    return (1.0 - part) * below + part * above
