"""Whether a spectrum, folded again, agrees with what was observed.

The statistic is compared with its mean and scatter at that very model, never with one per bin: at
0.1 counts a bin the Cash statistic of a true model is 0.47 a bin, at one count 1.15 (Kaastra 2017,
A&A 605, A51). A model that was fitted follows some of the noise and comes out lower by about one
for each parameter it follows: with the influence matrix M of a linear fit, by which the refolded
counts move with the observed ones, and a prior that is true, the mean falls by tr M (Rodgers 2000,
Inverse Methods for Atmospheric Sounding, section 2.4). One that is still too high by some standard
deviations is wrong.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .likelihood import cash, cash_moments, w_moments, w_statistic

Array = NDArray[np.float64]

_ENOUGH = 25.0  # counts that give a background to a fifth
# The mean of W follows the background where that is under one count a bin. Averaged over 25 counts
# it is too even, and W comes out low by up to 0.8 standard deviations; over nine by up to 0.4.
_ENOUGH_FOR_W = 9.0


@dataclass(frozen=True, slots=True)
class Refold:
    """A statistic beside what it should be.

    Parameters
    ----------
    statistic : {"cash", "w"}
    value : float
        Summed over all bins.
    expected, scatter : float
        Mean and standard deviation if the model is true.
    bins : int
        Bins that expect any counts.
    freedom : float
        By how much the statistic of what was fitted is expected to be lower: the parameters it
        follows. Zero for a model that was not fitted to these counts.
    """

    statistic: Literal["cash", "w"]
    value: float
    expected: float
    scatter: float
    bins: int
    freedom: float = 0.0

    @property
    def z(self) -> float:
        """Standard deviations above what is expected of the fit; NaN where nothing is."""
        excess = self.value - (self.expected - self.freedom)
        return excess / self.scatter if self.scatter > 0 else float("nan")


def refold_cash(counts: Array, model: Array) -> Refold:
    """Compare counts with a model whose background is known.

    Parameters
    ----------
    counts : ndarray, shape (detector,)
    model : ndarray, shape (detector,)
        Expected counts, the background in them.

    Returns
    -------
    Refold
    """
    moments = cash_moments(model)
    return Refold(
        "cash",
        float(cash(counts, model).sum()),
        float(moments.mean.sum()),
        float(np.sqrt(moments.variance.sum())),
        int(np.count_nonzero(model > 0)),
    )


def refold_w(
    counts: Array, source: Array, beside: Array, scale: Array, *, width: Array | None = None
) -> Refold:
    """Compare counts with a model of the source, the background having been measured beside it.

    Parameters
    ----------
    counts : ndarray, shape (detector,)
    source : ndarray, shape (detector,)
        Expected of the source alone.
    beside : ndarray, shape (detector,)
        Counts of the background.
    scale : ndarray, shape (detector,)
        Background counts expected in the source's bin for one beside.
    width : ndarray, shape (detector,)
        Of each bin, as of `smooth_background`.

    Returns
    -------
    Refold

    Notes
    -----
    The bins are not grouped to hold a count of background each. W is biased where they do not, but
    mean and scatter here have the same bias; groups that end where a count fell would bring a new
    one. The background that enters them is a smoothed one.
    """
    background = smooth_background(beside, scale, width=width, enough=_ENOUGH_FOR_W)
    moments = w_moments(source, background, scale)
    return Refold(
        "w",
        float(w_statistic(counts, source, beside, scale).sum()),
        float(moments.mean.sum()),
        float(np.sqrt(moments.variance.sum())),
        int(np.count_nonzero(source + background > 0)),
    )


def smooth_background(
    beside: Array, scale: Array, *, width: Array | None = None, enough: float = _ENOUGH
) -> Array:
    """Estimate the background expected in the source's bins where few counts were seen beside.

    Parameters
    ----------
    beside : ndarray, shape (detector,)
        Counts of the background.
    scale : ndarray, shape (detector,)
        Background counts expected in the source's bin for one beside.
    width : ndarray, shape (detector,)
        Good channels in each bin; all the same where None.
    enough : float
        Counts over which the background is averaged.

    Returns
    -------
    ndarray, shape (detector,)
        Expected counts: the mean of the fewest neighbours on either side that hold `enough`, or of
        all bins where they do not, and then less, all by one factor, so that the sum of those that
        were averaged stays what was seen.

    Notes
    -----
    Means over neighbours alone add up to more: they reach from where few counts fell to where many
    did, and end where one fell. Of 47 counts, most of them at low energies, they make 63.
    """
    size = beside.size
    width = np.ones(size) if width is None else width
    counts, widths = (np.concatenate([[0.0], np.cumsum(array)]) for array in (beside, width))
    index = np.arange(size)
    rate, alone = np.full(size, np.nan), np.zeros(size, dtype=np.bool_)
    for reach in range(size):
        low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, size)
        held = counts[high] - counts[low]
        done = np.isnan(rate) & ((held >= enough) | (reach == size - 1))
        spanned = (widths[high] - widths[low])[done]
        rate[done] = np.divide(held[done], spanned, out=np.zeros(spanned.size), where=spanned > 0)
        if reach == 0:
            alone = done
        if not np.isnan(rate).any():
            break
    found = rate * width
    averaged = float(found[~alone].sum())
    if averaged > 0:
        found[~alone] *= float(beside[~alone].sum()) / averaged
    return found * scale
