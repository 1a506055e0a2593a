"""A small map in the terminal: two pixels in a character cell, by the upper half block.

The foreground colours the upper pixel, the background the lower, so pixels are nearly square. On a
terminal without colours the mean of the two is a shade of grey made of block characters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

Palette = Literal["intensity", "velocity"]

# Twelve colours along matplotlib's inferno and RdBu_r (ColorBrewer), lightened at the dark end.
_ANCHORS: dict[Palette, tuple[str, ...]] = {
    "intensity": tuple(
        f"#{code}"
        for code in (
            *("0b0724", "240c4f", "420a68", "5d126e", "781c6d", "932667"),
            *("ae305c", "c73e4c", "dd513a", "f37819", "fcb014", "fcffa4"),
        )
    ),
    "velocity": tuple(
        f"#{code}"
        for code in (
            *("123f77", "2166ac", "4393c3", "75b2d4", "a7cfe4", "d8e8f1"),
            *("f7e1d5", "f5b799", "e48066", "d6604d", "b2182b", "7d1025"),
        )
    ),
}
LEVELS = 96
_EMPTY = "#23262e"
_SHADES = " ░▒▓█"


@lru_cache
def colours(palette: Palette) -> tuple[str, ...]:
    """Give `LEVELS` colours from low to high."""
    anchors = _ANCHORS[palette]
    rgb = np.array([[int(code[at : at + 2], 16) for at in (1, 3, 5)] for code in anchors], float)
    place = np.linspace(0, len(anchors) - 1, LEVELS)
    channels = [np.interp(place, np.arange(len(anchors)), rgb[:, channel]) for channel in range(3)]
    return tuple("#{:02x}{:02x}{:02x}".format(*rgb) for rgb in np.rint(channels).astype(int).T)


@dataclass(frozen=True, slots=True)
class Scale:
    """How values become colours.

    Parameters
    ----------
    low, high : float
        Limits, in the unit of the map.
    palette : {"intensity", "velocity"}
        Intensities follow a square root, velocities a straight line.
    """

    low: float
    high: float
    palette: Palette

    @classmethod
    def of(cls, values: NDArray[Any], palette: Palette) -> "Scale":
        """Choose limits that few wild cells cannot move; (0, 1) while nothing is known."""
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            return cls(0.0, 1.0, palette)
        if palette == "intensity":
            low, high = (float(limit) for limit in np.percentile(finite, (2, 99.5)))
            low = 0.0 if 0 <= low < 0.3 * high else low
        else:
            centre = float(np.median(finite))
            reach = float(np.percentile(np.abs(finite - centre), 96))
            low, high = centre - reach, centre + reach
        return cls(low, high if high > low else low + (abs(low) or 1.0) * 1e-3, palette)

    def levels(self, values: NDArray[Any]) -> NDArray[np.int16]:
        """Give the level of each value, -1 for NaN."""
        part = np.clip((values - self.low) / (self.high - self.low), 0, 1)
        if self.palette == "intensity":
            part = np.sqrt(part)
        return np.where(np.isfinite(part), np.nan_to_num(part) * (LEVELS - 1), -1).astype(np.int16)


def fit_cells(values: NDArray[Any], columns: int, rows: int) -> NDArray[Any]:
    """Resize a map to the space there is, its shape kept.

    Parameters
    ----------
    values : ndarray, shape (y, x)
        NaN where nothing is known.
    columns, rows : int
        Pixels there is room for.

    Returns
    -------
    ndarray
        Blocks averaged where there are too many cells, cells repeated where there is room for
        twice as many or more.
    """
    ny, nx = values.shape
    factor = min(columns / nx, rows / ny)
    if factor >= 2:
        return np.repeat(np.repeat(values, int(factor), axis=0), int(factor), axis=1)
    if factor >= 1:
        return values
    return _average(values, max(1, int(ny * factor)), max(1, int(nx * factor)))


def _average(values: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Average the finite values of neighbours so that `rows` x `columns` are left."""
    good = np.isfinite(values)
    total, count = np.where(good, values, 0.0), good.astype(float)
    for axis, number in enumerate((rows, columns)):
        edges = np.arange(number) * values.shape[axis] // number
        total = np.add.reduceat(total, edges, axis=axis)
        count = np.add.reduceat(count, edges, axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


@dataclass(frozen=True, slots=True)
class Mosaic:
    """A map as rich draws it.

    Parameters
    ----------
    levels : ndarray of int16, shape (y, x)
        From `Scale.levels`; the first row is the lowest.
    palette : {"intensity", "velocity"}
        The colours.
    """

    levels: NDArray[np.int16]
    palette: Palette

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw two rows of pixels in each line."""
        picture = self.levels[::-1]
        if picture.shape[0] % 2:
            picture = np.vstack([picture, np.full((1, picture.shape[1]), -2, np.int16)])
        colourless = console.color_system is None or console.no_color
        for upper, lower in zip(picture[::2], picture[1::2], strict=True):
            yield from _grey_line(upper, lower) if colourless else self._line(upper, lower)
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Take as many columns as there are pixels."""
        return Measurement(self.levels.shape[1], self.levels.shape[1])

    def _line(self, upper: NDArray[np.int16], lower: NDArray[np.int16]) -> Iterator[Segment]:
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            yield Segment("▀", _style(self.palette, above, below))


@lru_cache(maxsize=20000)
def _style(palette: Palette, above: int, below: int) -> Style:
    """Give the colours of a cell; level -1 is unknown, -2 outside the map."""
    table = colours(palette)
    front = table[above] if above >= 0 else _EMPTY
    if below == -2:
        return Style(color=front)
    return Style(color=front, bgcolor=table[below] if below >= 0 else _EMPTY)


def _grey_line(upper: NDArray[np.int16], lower: NDArray[np.int16]) -> Iterator[Segment]:
    for pair in zip(upper.tolist(), lower.tolist(), strict=True):
        known = [level for level in pair if level >= 0]
        mean = sum(known) / len(known) if known else 0.0
        shade = 1 + int(mean / LEVELS * (len(_SHADES) - 1)) if known else 0
        yield Segment(_SHADES[shade])


@dataclass(frozen=True, slots=True)
class Gradient:
    """The colours of a scale from low to high, one line of `width` cells."""

    palette: Palette
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw one level in each cell."""
        levels = np.linspace(0, LEVELS - 1, self.width).astype(int)
        for level in levels:
            yield Segment(" ", Style(bgcolor=colours(self.palette)[level]))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Take as many columns as there are cells."""
        return Measurement(self.width, self.width)
