"""The background measured beside a source, profiled in blocks of channels.

The W statistic (see `likelihood`) gives every channel a background of its own. Where a channel has
few counts beside the source, that background follows the noise of the source: with 150 counts
beside it in 445 channels, and 500 in its own spectrum of which as many are background, a cluster's
norm comes out 2.6 times too high. So the background is taken to have one rate r in each block of
channels,

    b_i = a_i r,     n_i ~ Poisson(s_i + a_i r),     B ~ Poisson(w r),

with n_i counts of a channel, s_i those expected of the source, a_i the scale, B the counts beside
in the block and w its channels. Blocks have some twenty counts each and end where as many are
expected by a smoothed background; with twenty in each channel, a block is a channel and the
statistic W. The likeliest rate is the root of

    f(r) = w + sum a_i - sum a_i n_i / (s_i + a_i r) - B / r,

which rises and is concave, so that Newton's steps from r = B / (w + sum a_i), below the root, go up
to it and never beyond.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .refold import smooth_background

Array = NDArray[np.float64]

_HELD = 20.0  # counts beside the source in a block
_STEPS = 30  # of Newton's; five are usual
_DONE = 1e-10  # relative change


@dataclass(frozen=True, slots=True)
class Beside:
    """Measured backgrounds, one behind the other.

    Parameters
    ----------
    counts : ndarray, shape (block,)
        Beside the source.
    width : ndarray, shape (block,)
        Channels.
    first : ndarray of int, shape (block,)
        First channel of each block.
    scale : ndarray, shape (channel,)
        Background counts expected in the source's channel for one beside.
    """

    counts: Array
    width: Array
    first: NDArray[np.int64]
    scale: Array

    @classmethod
    def of(cls, counts: Array, scale: Array) -> "Beside":
        """Divide the channels of one measurement into blocks."""
        smoothed = smooth_background(counts, np.ones(counts.size))
        total = float(smoothed.sum())
        number = int(np.clip(counts.sum() / _HELD, 1, counts.size))
        below = np.cumsum(smoothed) - 0.5 * smoothed
        part = below / total if total > 0 else np.linspace(0.0, 1.0, counts.size, endpoint=False)
        block = np.minimum((part * number).astype(np.int64), number - 1)
        if number == counts.size:
            block = np.arange(counts.size)
        first = np.flatnonzero(np.diff(block, prepend=-1))
        width = np.diff(np.append(first, counts.size)).astype(np.float64)
        return cls(np.add.reduceat(counts, first), width, first, scale)

    @classmethod
    def joined(cls, parts: Sequence["Beside"]) -> "Beside":
        """Put the measurements of several members together."""
        starts = np.cumsum([0, *(one.scale.size for one in parts)])
        return cls(
            np.concatenate([one.counts for one in parts]),
            np.concatenate([one.width for one in parts]),
            np.concatenate([one.first + at for one, at in zip(parts, starts, strict=False)]),
            np.concatenate([one.scale for one in parts]),
        )

    def sums(self, values: Array) -> Array:
        """Add up channels in blocks, shape (..., block)."""
        return np.add.reduceat(values, self.first, axis=-1)

    def spread(self, rate: Array) -> Array:
        """Give a background's counts in the source's channels, shape (..., channel)."""
        return np.repeat(rate, self.width.astype(np.int64), axis=-1) * self.scale

    def rate(self, counts: Array, source: Array) -> Array:
        """Give the rates that make source and background likeliest.

        Parameters
        ----------
        counts : ndarray, shape (channel,)
            Of the source's spectrum.
        source : ndarray, shape (point, channel)
            Positive: expected of the source alone.

        Returns
        -------
        ndarray, shape (point, block)
            Counts of a channel beside.
        """
        whole = self.width + self.sums(self.scale)
        rate = np.broadcast_to(self.counts / whole, (len(source), whole.size)).copy()
        weighed = self.scale * counts
        for _ in range(_STEPS):
            total = source + self.spread(rate)
            part = weighed / total
            over = np.divide(self.counts, rate, out=np.zeros(rate.shape), where=rate > 0)
            value = whole - self.sums(part) - over
            rise = self.sums(part * self.scale / total)
            rise += np.divide(over, rate, out=np.zeros(rate.shape), where=rate > 0)
            # Without counts beside the source the root may be below zero: then it is zero.
            step = np.divide(-value, rise, out=np.zeros(rate.shape), where=(value < 0) & (rise > 0))
            rate += step
            if np.all(step <= _DONE * rate):
                break
        return rate
