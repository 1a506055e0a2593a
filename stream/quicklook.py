"""Pictures of maps, to see at a glance whether a run went well.

Each picture is one map with coordinates on the sky where the cube has them, limits that a few wild
spaxels cannot move (percentiles), and a colour bar with its unit. Fluxes span decades and are drawn
on an asinh scale; velocities diverge about their median; status shows the gravest bit of each
spaxel. Velocity and broadening of a spaxel without signal are noise and are left out of pictures;
the FITS maps keep them.
The page is `sheet.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, BoundaryNorm, Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ..io.products import NO_ROW, MapGrid
from ..io.results import FitStatus
from .labels import scale_exponent, unit_text
from .sheet import EMPTY, FAINT, INK, Place, Sheet, add_axes, blank_page, hide, save

Kind = Literal["intensity", "velocity", "positive", "status"]
Extent = tuple[float, float, float, float]

LARGEST = 750
"""Pixels along the longer side that a picture shows."""

FEWEST_TICKS = 5

# The gravest first: a pixel with several bits shows the first of these. Then its colour.
STATUS_COLOURS = {
    FitStatus.NO_DATA: "#2b2f3a",
    FitStatus.SINGULAR: "#7d1d3f",
    FitStatus.NO_SIGNAL: "#b9bec9",
    FitStatus.MAX_ITERATIONS: "#d1495b",
    FitStatus.AT_BOUND: "#e8853d",
    FitStatus.SEEDS_DISAGREE: "#f2c14e",
    FitStatus.NEGATIVE_AMPLITUDE: "#7b5ea7",
    FitStatus.POOR_FIT: "#c77dbb",
    FitStatus.REFOLD_REJECTED: "#8a5a44",
    FitStatus.POSTERIOR_ROUGH: "#4f7d8c",
    FitStatus.MDN_OUT_OF_RANGE: "#3d7ea6",
    FitStatus.NONFINITE: "#74b49b",
}
GOOD, USER_BITS = "#dbeaf5", "#20242e"


@dataclass(frozen=True, slots=True)
class Picture:
    """What to draw.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        The map, or the map made smaller by `shrink`; NaN where nothing is known; int32 for status.
    label, unit : str
        What it is, and its unit as FITS writes it.
    kind : {"intensity", "velocity", "positive", "status"}
        Asinh scale, diverging about the median, linear, or one colour per bit.
    typical : ndarray, shape (ny, nx), or None
        The same map without the spaxels that shall not set its limits.
    """

    values: NDArray[Any]
    label: str
    unit: str
    kind: Kind
    typical: NDArray[Any] | None = None


def draw(path: Path, pictures: Sequence[Picture], *, grid: MapGrid, title: str) -> None:
    """Draw one map, or several side by side, as a PNG.

    Parameters
    ----------
    path : Path
        The PNG, replaced if it is there.
    pictures : sequence of Picture
        In rows of two if there are more than one.
    grid : MapGrid
        Where the pixels lie on the sky.
    title : str
        What was observed and where the numbers come from.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    sheet = Sheet.of([picture.kind == "status" for picture in pictures], grid)
    figure = blank_page(*sheet.size)
    figure.text(0.12 / sheet.size[0], 1 - 0.2 / sheet.size[1], title, fontsize=8, color=FAINT)
    extent = (-0.5, grid.shape[0] - 0.5, -0.5, grid.shape[1] - 0.5)
    for number, picture in enumerate(pictures):
        axes = add_axes(figure, sheet.panel(number), grid)
        if number % sheet.columns:
            hide(axes, 1)
        if number + sheet.columns < len(pictures):
            hide(axes, 0)
        axes.set_facecolor(EMPTY)
        axes.set_title(picture.label, fontsize=11, color=INK, loc="left", pad=7)
        if picture.kind == "status":
            _draw_status(axes, picture.values, extent)
        else:
            _draw_values(figure, axes, picture, extent, bar=sheet.bar(number))
    save(figure, path)


def kind_of(column: str) -> Kind | None:
    """Say how a column of a table is drawn; None for those that are not."""
    if column.startswith("velocity"):
        return "velocity"
    if column.startswith("broadening"):
        return "positive"
    return "intensity" if column.endswith("_flux") or column in ("continuum", "snr") else None


def robust_limits(values: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Give percentiles of the finite values; (0, 1) where there are none, never an empty range."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    bottom, top = (float(limit) for limit in np.percentile(finite, (low, high)))
    margin = 1e-6 * max(abs(bottom), abs(top)) or 1.0
    return (bottom, top) if top - bottom > margin else (bottom - margin, top + margin)


def shrink(values: NDArray[Any], largest: int = LARGEST) -> NDArray[Any]:
    """Average blocks of pixels so that no side is longer than `largest`; integers are sampled."""
    step = -(-max(values.shape) // largest)
    if step <= 1:
        return values
    if values.dtype.kind in "iu":
        return values[step // 2 :: step, step // 2 :: step]
    ny, nx = (-(-side // step) for side in values.shape)
    total, count = np.zeros((ny, nx)), np.zeros((ny, nx), np.float32)
    for dy in range(step):
        for dx in range(step):
            piece = values[dy::step, dx::step]
            good = np.isfinite(piece)
            total[: piece.shape[0], : piece.shape[1]] += np.where(good, piece, 0)
            count[: piece.shape[0], : piece.shape[1]] += good
    return np.divide(total, count, out=np.full((ny, nx), np.nan), where=count > 0)


def _draw_values(
    figure: Figure, axes: Axes, picture: Picture, extent: Extent, *, bar: Place
) -> None:
    """Draw a map of numbers and its colour bar."""
    values = shrink(picture.values)
    typical = values if picture.typical is None else shrink(picture.typical)
    typical = typical if np.isfinite(typical).any() else values
    exponent = scale_exponent(robust_limits(typical, 1, 99))
    scaled = values / 10.0**exponent
    norm = stretch(typical / 10.0**exponent, picture.kind)
    image = axes.imshow(
        scaled,
        origin="lower",
        extent=extent,
        interpolation="nearest" if max(values.shape) < 400 else "auto",
        cmap=_colours(picture.kind),
        norm=norm,
        aspect="auto",
    )
    scale = figure.colorbar(
        image, cax=figure.add_axes(bar), extend="both", extendfrac=0.03 / 0.94, drawedges=False
    )
    if isinstance(norm, AsinhNorm):
        scale.set_ticks(_asinh_ticks(norm), labels=[f"{tick:g}" for tick in _asinh_ticks(norm)])
    scale.minorticks_off()
    scale.ax.tick_params(labelsize=7, labelcolor=INK, color=FAINT, length=3)
    scale.outline.set(edgecolor=FAINT, linewidth=0.6)  # pyright: ignore[reportCallIssue]
    axes.annotate(
        unit_text(picture.unit, exponent),
        (1, 1),
        (22, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=FAINT,
    )


def _asinh_ticks(norm: AsinhNorm) -> list[float]:
    """Choose round numbers that lie apart on an asinh scale."""
    top, bottom = float(norm.vmax or 1.0), float(norm.vmin or 0.0)
    decades = 10.0 ** np.arange(np.floor(np.log10(top)), np.log10(norm.linear_width) - 1.5, -1)
    round_ones = [0.0, *(digit * decade for decade in decades for digit in (5, 2, 1))]
    others = [digit * decade for decade in decades for digit in (3, 7, 4, 8, 6, 9)]
    chosen: list[float] = []
    for number, tick in enumerate([*round_ones, *others]):
        apart = [abs(float(norm(tick)) - float(norm(other))) for other in chosen]
        wanted = number < len(round_ones) or len(chosen) < FEWEST_TICKS
        if wanted and bottom <= tick <= top and min(apart, default=1.0) > 0.07:
            chosen.append(float(tick))
    return chosen


def _colours(kind: Kind) -> Colormap:
    name = {"intensity": "inferno", "velocity": "RdBu_r", "positive": "viridis"}[kind]
    return colormaps[name]


def stretch(values: NDArray[Any], kind: Kind) -> Normalize:
    """Choose limits: percentiles, symmetrical about the median for velocities."""
    if kind == "velocity":
        bottom, top = robust_limits(values, 2, 98)
        finite = values[np.isfinite(values)]
        centre = float(np.median(finite)) if finite.size else 0.5
        reach = max(top - centre, centre - bottom)
        return Normalize(centre - reach, centre + reach)
    if kind == "positive":
        return Normalize(*robust_limits(values, 2, 98))
    bottom, top = robust_limits(values, 1, 99.9)
    if top <= 0:
        return Normalize(bottom, top)
    bottom = min(bottom, 0.0) if bottom < 0.1 * top else bottom
    return AsinhNorm(linear_width=max(top - bottom, 1e-30) / 30, vmin=bottom, vmax=top)


def gravest(status: NDArray[np.int32]) -> NDArray[np.int8]:
    """Sort pixels by their gravest bit.

    Parameters
    ----------
    status : ndarray of int32
        Status bits, `NO_ROW` where there is no row.

    Returns
    -------
    ndarray of int8
        -1 without a row, 0 good, k the k-th of `STATUS_COLOURS`, one more for users' bits alone.
    """
    found = np.where(status == 0, 0, 1 + len(STATUS_COLOURS)).astype(np.int8)
    for place, bit in reversed(list(enumerate(STATUS_COLOURS, start=1))):
        found[(status & bit) != 0] = place
    found[status == NO_ROW] = -1
    return found


def _draw_status(axes: Axes, status: NDArray[np.int32], extent: Extent) -> None:
    """Draw the gravest bit of each pixel; the legend counts them."""
    found = gravest(status)
    names = ["good", *(str(bit.name) for bit in STATUS_COLOURS), "user bits"]
    colours = [GOOD, *STATUS_COLOURS.values(), USER_BITS]
    axes.imshow(
        np.ma.masked_less(shrink(found), 0),
        origin="lower",
        extent=extent,
        interpolation="nearest",
        cmap=ListedColormap(colours),
        norm=BoundaryNorm(np.arange(len(colours) + 1) - 0.5, len(colours)),
        aspect="auto",
    )
    counts = np.bincount(found[found >= 0].ravel(), minlength=len(names))
    handles = [
        Patch(
            facecolor=colour,
            edgecolor=FAINT,
            linewidth=0.4,
            label=f"{_words(name)}  {_share(count, counts)}",
        )
        for name, colour, count in zip(names, colours, counts, strict=True)
        if count
    ]
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0,
        fontsize=7,
        frameon=False,
        labelcolor=INK,
    )


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _share(count: int, counts: NDArray[np.int64]) -> str:
    """Say what part of all spaxels a class has: "12 %", or their number where it is small."""
    percent = 100 * count / counts.sum()
    return f"{percent:.0f} %" if percent >= 1 else f"{count}"
