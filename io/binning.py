"""Average spaxels in square bins, counted from pixel 0 of the cube.

A binned spectrum is the mean over the good spaxels of its bin, channel by channel, so the unit
stays; with variances v of n good spaxels it has sum(v) / n^2. Bins cut by the cube's edge hold
fewer spaxels.
"""

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .records import Area, BatchKey, FtsAxis, SpectralBatch

# FWHM of a sinc over its width W (facts: sin(pi u) / (pi u) = 1/2 at u = 0.60335).
SINC_FWHM = 1.20671
# A line smeared by less than this part of its width keeps its shape.
SMEAR_LIMIT = 0.2


def bin_area(area: Area, side: int) -> Area:
    """Give the bins that `area` touches, in bin indices."""
    return Area(area.x0 // side, -(-area.x1 // side), area.y0 // side, -(-area.y1 // side))


def _sums(values: NDArray, side: int) -> NDArray:
    """Sum (x, y, ...) over bins; the area begins on the edge of a bin."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], side), axis=0)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], side), axis=1)


def kept_bins(keep: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Tell which bins hold at least one spaxel that is kept.

    Parameters
    ----------
    keep : ndarray of bool, shape (x, y)
    side : int

    Returns
    -------
    ndarray of bool, shape (x bin, y bin)
    """
    return _sums(keep.astype(np.int64), side) > 0


def bin_batch(
    batch: SpectralBatch, area: Area, keep: NDArray[np.bool_], *, side: int, key: BatchKey
) -> SpectralBatch:
    """Average the spaxels of a batch in bins.

    Parameters
    ----------
    batch : SpectralBatch
        All spaxels of `area`, x slow and y fast.
    area : Area
        Rectangle of the cube; begins on the edge of a bin, ends on one or at the cube's edge.
    keep : ndarray of bool, shape (x, y)
        False where a mask excludes the spaxel.
    side : int
        Spaxels along a side of a bin.
    key : BatchKey
        Of the bins that hold a kept spaxel.

    Returns
    -------
    SpectralBatch
        Rows for the bins with a kept spaxel; x and y are bin indices. A channel without a good
        spaxel is NaN.
    """
    shape = (*area.shape, batch.data.shape[1])
    good = np.isfinite(batch.data)
    if batch.variance is not None:
        good &= batch.variance > 0
    good = good.reshape(shape) & keep[:, :, None]
    rows = kept_bins(keep, side).ravel()
    with np.errstate(invalid="ignore", divide="ignore"):
        count = _sums(good.astype(batch.data.dtype), side).reshape(rows.size, -1)[rows]

        def mean(values: NDArray, power: int = 1) -> NDArray:
            total = _sums(np.where(good, values.reshape(shape), 0), side)
            return total.reshape(rows.size, -1)[rows] / count**power

        data = mean(batch.data)
        variance = None if batch.variance is None else mean(batch.variance, power=2)
        imaginary = None if batch.imaginary is None else mean(batch.imaginary)
    x, y = bin_area(area, side).positions()
    corr = None if batch.corr is None else mean_corr(batch.corr.reshape(area.shape), keep, side)
    return SpectralBatch(
        key=key,
        x=x[rows],
        y=y[rows],
        data=data,
        corr=None if corr is None else corr.ravel()[rows],
        variance=variance,
        imaginary=imaginary,
    )


def mean_corr(corr: NDArray, keep: NDArray[np.bool_], side: int) -> NDArray[np.float64]:
    """Average (x, y) laser corrections over the kept spaxels of bins; NaN where none is known."""
    known = np.isfinite(corr) & keep
    with np.errstate(invalid="ignore", divide="ignore"):
        return _sums(np.where(known, corr, 0.0), side) / _sums(known.astype(np.float64), side)


def check_smearing(corr: NDArray, area: Area, axis: FtsAxis, *, side: int, name: str) -> None:
    """Refuse bins whose spectra lie on axes too different to be averaged.

    An uncalibrated FTS gives every spaxel the axis wavenumber = corr x constant. A line at the
    folding limit (order + 1) 1e7 corr / (2 step) then moves across the bin by the spread of corr;
    its FWHM is 1.20671 x 1e7 corr / (2 step (step_nb - zpd_index)).

    Parameters
    ----------
    corr : ndarray, shape (x, y)
        Of `area`, which begins on the edge of a bin.
    area : Area
        For the message.
    axis : FtsAxis
    side : int
        Spaxels along a side of a bin.
    name : str
        File, for the message.

    Raises
    ------
    InputError
        If a line is smeared by more than a fifth of its width.
    """
    starts = np.arange(0, corr.shape[0], side), np.arange(0, corr.shape[1], side)
    known = np.isfinite(corr)
    ends = []
    for extreme, blank in ((np.maximum, -np.inf), (np.minimum, np.inf)):
        rows = extreme.reduceat(np.where(known, corr, blank), starts[0], axis=0)
        ends.append(extreme.reduceat(rows, starts[1], axis=1))
    spread = np.where(np.isfinite(ends[0]), (ends[0] - ends[1]) / ends[0], 0.0)
    smear = (axis.order + 1) * (axis.step_nb - axis.zpd_index) * spread / SINC_FWHM
    worst = np.unravel_index(np.argmax(smear), smear.shape)
    if smear[worst] > SMEAR_LIMIT:
        bins = bin_area(area, side)
        raise InputError(
            f"{name}: --bin {side} would smear lines by {smear[worst]:.2f} of their width in bin "
            f"({bins.x0 + worst[0]}, {bins.y0 + worst[1]}), {SMEAR_LIMIT} is allowed, because its "
            "spaxels have different wavenumber axes; use a smaller --bin or a calibrated cube"
        )
