"""A page of panels with maps: their places in inches, axes on the sky, and the PNG.

matplotlib is used through its objects with the Agg canvas alone: no global state, any thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..io.errors import StorageError
from ..io.products import MapGrid

INK, FAINT, EMPTY = "#1d2433", "#6b7280", "#e4e6ea"
DPI = 170

Place = tuple[float, float, float, float]
"""Left, bottom, width and height as parts of the page."""

_SKY = {"longitude": "right ascension", "latitude": "declination"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """Where panels lie on the page [inch]: widths of columns and what stands beside them."""

    columns: int
    rows: int
    width: float
    height: float
    right: tuple[float, ...]

    LEFT, INNER, BOTTOM, BETWEEN, TOP = 0.85, 0.2, 0.5, 0.42, 0.62

    @classmethod
    def of(cls, notes: Sequence[bool], grid: MapGrid) -> "Sheet":
        """Lay out panels of the map's own shape, within reason.

        Parameters
        ----------
        notes : sequence of bool
            One for each panel: True where a legend in words stands beside it, not a colour bar.
        grid : MapGrid
            Of the maps.
        """
        columns = min(2, len(notes))
        aspect = min(2.5, max(0.3, grid.shape[1] / grid.shape[0]))
        width = 4.4 / max(1.0, aspect) ** 0.5
        right = tuple(1.55 if any(notes[place::columns]) else 0.75 for place in range(columns))
        return cls(columns, -(-len(notes) // columns), width, width * aspect, right)

    @property
    def size(self) -> tuple[float, float]:
        """Size of the page."""
        wide = self.LEFT + self.columns * self.width + (self.columns - 1) * self.INNER
        high = self.TOP + self.rows * self.height + (self.rows - 1) * self.BETWEEN + self.BOTTOM
        return wide + sum(self.right), high

    def panel(self, number: int) -> Place:
        """Give left, bottom, width and height of a panel as parts of the page."""
        row, column = divmod(number, self.columns)
        left = self.LEFT + column * (self.width + self.INNER) + sum(self.right[:column])
        bottom = self.size[1] - self.TOP - (row + 1) * self.height - row * self.BETWEEN
        return self._parts(left, bottom, self.width, self.height)

    def bar(self, number: int) -> Place:
        """Give the rectangle of a panel's colour bar, room left for its pointed ends."""
        row, column = divmod(number, self.columns)
        left = self.LEFT + (column + 1) * self.width + column * self.INNER
        bottom = self.size[1] - self.TOP - (row + 1) * self.height - row * self.BETWEEN
        left += sum(self.right[:column]) + 0.09
        return self._parts(left, bottom + 0.03 * self.height, 0.12, 0.94 * self.height)

    def _parts(self, *inches: float) -> Place:
        wide, high = self.size
        left, bottom, width, height = inches
        return left / wide, bottom / high, width / wide, height / high


def blank_page(width: float, height: float) -> Figure:
    """Give an empty page [inch] with its own canvas."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, place: Place, grid: MapGrid) -> Axes:
    """Add axes on the sky, or in pixels where the cube has no coordinates."""
    wcs = WCS(_plain(grid.cards), relax=True) if grid.celestial else None
    if wcs is None or not wcs.has_celestial:
        axes = figure.add_axes(place)
        axes.set_xlabel("x [pixel]", fontsize=8, color=INK)
        axes.set_ylabel("y [pixel]", fontsize=8, color=INK)
        axes.tick_params(labelsize=7, labelcolor=INK, color=FAINT, length=3)
        axes.spines[:].set(color=FAINT, linewidth=0.6)
        return axes
    axes = figure.add_axes(place, projection=wcs)
    assert isinstance(axes, WCSAxes)
    axes.coords.frame.set_color(FAINT)
    axes.coords.frame.set_linewidth(0.6)
    for coordinate, side in zip(axes.coords, "bl", strict=False):
        coordinate.set_ticks_position(side)
        coordinate.set_ticklabel_position(side)
        coordinate.set_axislabel_position(side)
        coordinate.set_ticklabel(size=7, color=INK, exclude_overlapping=True, pad=4)
        coordinate.set_axislabel(_SKY.get(coordinate.coord_type or "", ""), size=8, color=INK)
        coordinate.tick_params(direction="out", length=3, color=FAINT)
    return axes


def _plain(cards: dict[str, Any]) -> dict[str, Any]:
    return {name: card[0] if isinstance(card, tuple) else card for name, card in cards.items()}


def hide(axes: Axes, which: int) -> None:
    """Leave out the labels of one axis, 0 for x and 1 for y, where a neighbour shows them."""
    if isinstance(axes, WCSAxes):
        coordinate = axes.coords[which]
        coordinate.set_ticklabel_visible(False)
        coordinate.set_axislabel("")
    elif which:
        axes.set_ylabel("")
        axes.tick_params(labelleft=False)
    else:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)


def save(figure: Figure, path: Path) -> None:
    """Write the PNG beside `path`, then rename.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    partial = path.with_name(path.name + ".tmp")
    try:
        figure.savefig(partial, format="png")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free space, run it again"
        ) from error
