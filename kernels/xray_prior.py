"""The prior of a source's coordinates, as a density, as a box, and as independent normal numbers.

The broad prior is even over the ranges of `xray_model`; of two temperatures the lower one is even
in its logarithm too, below the higher: the density is that of half a square, 2 / width^2. Where the
Galactic column is known, its logarithm is Gaussian about it, cut at the range. All densities are
normalised, so that evidences of different models can be compared.

Every such prior is the image of independent standard normal numbers x: with Phi their distribution,

    coordinate = low + (high - low) Phi(x)

for an even one, Gaussian quantiles of Phi(x) for the column, and for two temperatures
ln kT = low + width sqrt(Phi(x1)), ln kT2 = low + (ln kT - low) Phi(x5). In x there are no bounds: a
posterior that piles up at one falls off smoothly, and the prior is a Gaussian of unit width. Where
the counts B(coordinates) that a norm of one expects are known beforehand (`xray_brightness`), x
stands for the counts and not for the norm, which they tell along a ridge:

    ln norm + ln B = least + width' Phi(x),

over all that norms in their range may give. Its density is then that of the prior, times a
constant, where the norm is in its range, and zero beyond. Of a plasma beside a power law, with
counts N1 and N2, two such numbers stand for ln(N1 + N2) and ln(N1 / N2), whose Jacobian in ln N1
and ln N2 is one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, ndtr, ndtri

from .xray_model import NORMS, SourceModel, ranges

Array = NDArray[np.float64]

_EDGE = 1e-9  # part of the range by which a point at a bound is moved inside
_LOG_TURN = float(np.log(np.sqrt(2.0 * np.pi)))


@dataclass(frozen=True, slots=True)
class ColumnPrior:
    """A known Galactic column: its logarithm is Gaussian.

    Parameters
    ----------
    nH : float
        [1e22 cm-2].
    sigma : float
        Standard deviation of ln nH.
    """

    nH: float
    sigma: float = 0.1


class Prior:
    """The prior of a model.

    Parameters
    ----------
    model : SourceModel
    column : ColumnPrior or None
    log_counts : callable or None
        ln of the counts that a norm of one expects, of coordinates, shape (point, norm).
    counts_range : ndarray, shape (norm, 2), or None
        Least and greatest of `log_counts`.

    Raises
    ------
    ValueError
        If two temperatures have different ranges.
    """

    def __init__(
        self,
        model: SourceModel,
        column: ColumnPrior | None = None,
        *,
        log_counts: Callable[[Array], Array] | None = None,
        counts_range: Array | None = None,
    ) -> None:
        self.model, self.column = model, column
        self.low, self.high = ranges(model)
        self.size = self.low.size
        self.nH = model.names.index("nH")
        self.temperatures = (
            (model.names.index("kT"), model.names.index("kT2")) if model.ordered else None
        )
        if self.temperatures is not None:
            ends = np.stack([self.low, self.high])[:, list(self.temperatures)]
            if np.any(ends[:, 0] != ends[:, 1]):
                raise ValueError(f"kT and kT2 range from {ends[0]} to {ends[1]}: not the same")
        self._log_counts = log_counts
        self.reach: float | None = None
        self.norms = [place for place, name in enumerate(model.names) if name in NORMS]
        if log_counts is not None and counts_range is not None:
            low, high = self.low[self.norms], self.high[self.norms]
            least, most = low + counts_range[:, 0], high + counts_range[:, 1]
            self._least = float(least.min())
            self._width = float(np.logaddexp.reduce(most)) - self._least
            sizes = [self._width]
            if len(self.norms) > 1:
                self.reach = float(max(most[0] - least[1], most[1] - least[0]))
                sizes.append(2.0 * self.reach)
            self._stretched = float(np.log(np.array(sizes) / (high - low)).sum())
        self._below, self._within = 0.0, 1.0
        if column is not None:
            ends = np.array([self.low[self.nH], self.high[self.nH]])
            below, above = ndtr((ends - np.log(column.nH)) / column.sigma)
            self._below, self._within = float(below), float(above - below)

    def log_density(self, coordinates: Array) -> Array:
        """Give the logarithm of the density in coordinates, -inf outside, shape (point,)."""
        inside = ((coordinates >= self.low) & (coordinates <= self.high)).all(axis=1)
        found = np.full(len(coordinates), -float(np.log(self.high - self.low).sum()))
        if self.temperatures is not None:
            hot, cool = self.temperatures
            inside &= coordinates[:, cool] <= coordinates[:, hot]
            found += np.log(2.0)
        if self.column is not None:
            found += np.log(self.high[self.nH] - self.low[self.nH])
            away = (coordinates[:, self.nH] - np.log(self.column.nH)) / self.column.sigma
            found -= 0.5 * np.square(away) + _LOG_TURN
            found -= np.log(self.column.sigma * self._within)
        return np.where(inside, found, -np.inf)

    def from_unit(self, unit: Array) -> Array:
        """Give the coordinates of points of the unit cube, shape (point, parameter)."""
        found = self.low + (self.high - self.low) * unit
        if self.column is not None:
            part = ndtri(self._below + self._within * unit[:, self.nH])
            column = np.log(self.column.nH) + self.column.sigma * part
            found[:, self.nH] = np.clip(column, self.low[self.nH], self.high[self.nH])
        if self.temperatures is not None:
            hot, cool = self.temperatures
            width = self.high[hot] - self.low[hot]
            found[:, hot] = self.low[hot] + width * np.sqrt(unit[:, hot])
            found[:, cool] = self.low[cool] + (found[:, hot] - self.low[cool]) * unit[:, cool]
        return found

    def to_unit(self, coordinates: Array) -> Array:
        """Give the points of the unit cube; those at or beyond a bound are moved just inside."""
        unit = (coordinates - self.low) / (self.high - self.low)
        if self.column is not None:
            away = (coordinates[:, self.nH] - np.log(self.column.nH)) / self.column.sigma
            unit[:, self.nH] = (ndtr(away) - self._below) / self._within
        if self.temperatures is not None:
            hot, cool = self.temperatures
            rise = coordinates - self.low
            above = np.maximum(rise[:, hot], _EDGE)
            unit[:, cool] = rise[:, cool] / above
            unit[:, hot] = np.square(np.maximum(unit[:, hot], 0.0))
        return np.clip(unit, _EDGE, 1.0 - _EDGE)

    def from_normal(self, normal: Array) -> Array:
        """Give the coordinates of normal numbers, shape (point, parameter)."""
        return self.at(normal)[0]

    def at(self, normal: Array) -> tuple[Array, Array]:
        """Give coordinates, and the logarithm of the density in normal numbers.

        Parameters
        ----------
        normal : ndarray, shape (point, parameter)

        Returns
        -------
        ndarray, shape (point, parameter)
        ndarray, shape (point,)
            -inf where the norm would be out of its range; there the coordinate is its end.
        """
        unit, density = ndtr(normal), log_normal(normal)
        found = self.from_unit(unit)
        if self._log_counts is None:
            return found, density
        low, high = self.low[self.norms], self.high[self.norms]
        # Of the counts that x stands for, less those that a norm of one expects.
        norms = self._counts(unit[:, self.norms]) - self._log_counts(found)
        found[:, self.norms] = np.clip(norms, low, high)
        inside = ((norms >= low) & (norms <= high)).all(axis=1)
        return found, np.where(inside, density + self._stretched, -np.inf)

    def _counts(self, unit: Array) -> Array:
        """Give ln of the counts of each component, shape (point, norm)."""
        total = self._least + self._width * unit[:, :1]
        if self.reach is None:
            return total
        ratio = self.reach * (2.0 * unit[:, 1:] - 1.0)
        return total + log_expit(np.concatenate([ratio, -ratio], axis=1))

    def to_normal(self, coordinates: Array) -> Array:
        """Give the normal numbers of coordinates, shape (point, parameter)."""
        unit = self.to_unit(coordinates)
        if self._log_counts is not None:
            counts = coordinates[:, self.norms] + self._log_counts(coordinates)
            total = np.logaddexp.reduce(counts, axis=1)
            parts = [(total - self._least) / self._width]
            if self.reach is not None:
                parts.append(self.ratio_to_unit(counts[:, 0] - counts[:, 1]))
            unit[:, self.norms] = np.clip(np.column_stack(parts), _EDGE, 1.0 - _EDGE)
        return ndtri(unit)

    def ratio_to_unit(self, log_ratio: Array) -> Array:
        """Give the number in the unit cube for ln of the counts of one norm over another's."""
        if self.reach is None:
            raise ValueError(f"{self.model.name} is not drawn by the counts of two norms")
        return 0.5 * (1.0 + log_ratio / self.reach)

    def slope(self, normal: Array) -> Array:
        """Give d coordinate / d normal, shape (point, coordinate, normal)."""
        step = 1e-4
        found = np.empty((len(normal), self.size, self.size))
        for index in range(self.size):
            moved = np.zeros(self.size)
            moved[index] = step
            change = self.from_normal(normal + moved) - self.from_normal(normal - moved)
            found[:, :, index] = change / (2.0 * step)
        return found


def log_normal(normal: Array) -> Array:
    """Give the logarithm of the density of independent standard normal numbers, shape (point,)."""
    return -0.5 * np.square(normal).sum(axis=1) - normal.shape[1] * _LOG_TURN
