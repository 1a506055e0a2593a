"""A picture of a fitted field beside its truth: true, fitted, and their difference over the error.

Rows are the flux of the brightest line, velocity and broadening. Where the errors are honest the
third column is noise of unit width, without a trace of the galaxy.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib import colormaps
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..io.results import FitStatus
from ..stream.labels import quantity_label, scale_exponent, unit_text
from ..stream.sheet import EMPTY, FAINT, INK, blank_page, save

Array = NDArray[np.float64]

_UNTRUSTED = int(FitStatus.NO_DATA | FitStatus.NO_SIGNAL | FitStatus.SINGULAR)
_HEADINGS = ("true", "fitted", "(fitted - true) / error")
_SIDE, _GAP, _LEFT, _TOP, _BAR = 2.55, 0.14, 0.32, 0.46, 0.78  # [inch]


def draw_against_truth(fitted: pa.Table, truth: pa.Table, line: str, path: Path) -> None:
    """Draw the maps of a small field.

    Parameters
    ----------
    fitted, truth : pyarrow.Table
        Rows of a run, and the truth of its cube.
    line : str
        Whose flux is shown.
    path : Path
        PNG to write.
    """
    shape = tuple(int(truth[name].to_numpy().max()) + 1 for name in ("y", "x"))
    width = _LEFT + 3 * _SIDE + 2 * _GAP + 2 * _BAR
    height = _TOP + 3 * (_SIDE + _GAP)
    page = blank_page(width, height)
    for column, heading in enumerate(_HEADINGS):
        left = _left(column) + 0.5 * _SIDE
        y = 1 - 0.3 / height
        page.text(left / width, y, heading, ha="center", color=INK, fontsize=10)
    for row, name in enumerate((f"{line}_flux", "velocity", "broadening")):
        true, found = _map(truth, name, shape), _map(fitted, name, shape)
        pull = (found - true) / _map(fitted, f"{name}_err", shape)
        unit = (truth.schema.field(name).metadata or {}).get(b"unit", b"").decode()
        exponent = scale_exponent(np.nan_to_num(true))
        norm = _norm(name, true / 10.0**exponent)
        place = _Place(page, (width, height), row)
        palette = {"velocity": "RdBu_r", "broadening": "viridis"}.get(name, "inferno")
        place.draw(0, true / 10.0**exponent, norm, palette)
        place.draw(1, found / 10.0**exponent, norm, palette, unit_text(unit, exponent))
        place.draw(2, pull, Normalize(-4, 4), "PuOr_r", "standard errors")
        y = 1 - (_TOP + row * (_SIDE + _GAP) + 0.5 * _SIDE) / height
        x = 0.4 * _LEFT / width
        label = quantity_label(name)
        page.text(x, y, label, rotation=90, ha="center", va="center", color=INK, fontsize=10)
    save(page, path)


def _left(column: int) -> float:
    """Left edge of a column [inch]; the second and third have a bar on their right."""
    return _LEFT + column * (_SIDE + _GAP) + (_BAR - _GAP if column == 2 else 0.0)


class _Place:
    """One row of panels on the page."""

    def __init__(self, page: Figure, size: tuple[float, float], row: int) -> None:
        self._page, self._size = page, size
        self._bottom = size[1] - _TOP - row * (_SIDE + _GAP) - _SIDE

    def draw(
        self, column: int, values: Array, norm: Normalize, palette: str, unit: str = ""
    ) -> None:
        """Draw one map, and its colour bar if it has a unit."""
        width, height = self._size
        left, bottom = _left(column), self._bottom
        axes = self._page.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
        image = axes.imshow(
            values, origin="lower", norm=norm, cmap=colormaps[palette], interpolation="nearest"
        )
        axes.set(xticks=[], yticks=[], facecolor=EMPTY)
        axes.spines[:].set(color=FAINT, linewidth=0.6)
        if unit:
            place = (left + _SIDE + 0.07) / width, bottom / height, 0.09 / width, _SIDE / height
            bar = self._page.colorbar(image, cax=self._page.add_axes(place), extend="both")
            bar.ax.tick_params(labelsize=7, labelcolor=INK, color=FAINT, length=2)
            bar.minorticks_off()
            bar.set_label(unit, fontsize=7, color=FAINT, labelpad=1)


def _map(table: pa.Table, name: str, shape: tuple[int, ...]) -> Array:
    """Values of a column on the field; NaN where a row is missing or not to be trusted."""
    values = table[name].to_numpy().astype(np.float64)
    if "status" in table.column_names:
        values = np.where(table["status"].to_numpy() & _UNTRUSTED, np.nan, values)
    field = np.full(shape, np.nan)
    field[table["y"].to_numpy(), table["x"].to_numpy()] = values
    return field


def _norm(name: str, true: Array) -> Normalize:
    """Limits for the true and the fitted map alike."""
    low, high = (float(limit) for limit in np.nanpercentile(true, (1, 99)))
    if name == "velocity":
        reach = max(abs(low), abs(high))
        return Normalize(-reach, reach)
    return (
        Normalize(0.5 * low, 1.2 * high)
        if name == "broadening"
        else AsinhNorm(0.05 * high, 0, high)
    )
