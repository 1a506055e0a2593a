"""A picture of one fit: data, model and continuum, what is left over the noise, and the numbers."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import AutoMinorLocator, MaxNLocator
from numpy.typing import NDArray

from .labels import scale_exponent, unit_text
from .quicklook import stretch
from .sheet import EMPTY, FAINT, INK, blank_page, save

DATA, MODEL, CONTINUUM, NOISE = "#4a5468", "#d1495b", "#2f7fb5", "#e3e7ee"
SIZE = (12.4, 5.8)
LEFT, RIGHT, BESIDE = 0.06, 0.71, 0.735
"""Edges of the picture and of the numbers, as parts of the page."""

_AXIS = {
    "wavenumber": ("wavenumber", "cm⁻¹"),
    "air": ("wavelength in air", "Å"),
    "vacuum": ("wavelength in vacuum", "Å"),
    "channel": ("channel", "0-based"),
}


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One spectrum and its fit.

    Parameters
    ----------
    coordinate : ndarray, shape (channel,)
        Increasing; [cm-1] or [angstrom].
    kind : {"wavenumber", "air", "vacuum", "channel"}
        What `coordinate` is; a spaxel whose axis is unknown is drawn by channel.
    data, model, continuum, noise : ndarray, shape (channel,)
        In `unit`; model and continuum are NaN outside the window of the fit.
    unit : str
        As FITS writes it.
    marks : tuple of (str, float)
        Label and coordinate of each line at its fitted velocity.
    """

    coordinate: NDArray[np.float64]
    kind: str
    data: NDArray[Any]
    model: NDArray[Any]
    continuum: NDArray[Any]
    noise: NDArray[Any]
    unit: str
    marks: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Locator:
    """Where a spaxel lies.

    Parameters
    ----------
    values : ndarray, shape (y, x)
        A small map.
    label : str
        What it shows.
    place : (x, y)
        Of the spaxel, in cells.
    """

    values: NDArray[Any]
    label: str
    place: tuple[float, float]


def draw_spectrum(
    path: Path,
    spectrum: Spectrum,
    *,
    title: str,
    subtitle: str,
    numbers: Sequence[tuple[str, str]],
    locator: Locator,
) -> None:
    """Draw a spectrum and its fit as a PNG.

    Parameters
    ----------
    path : Path
        The PNG, replaced if it is there.
    spectrum : Spectrum
        What to draw.
    title, subtitle : str
        Which spaxel, of what.
    numbers : sequence of (str, str)
        What stands beside the picture, name and value; ("", "") is a gap, and a name without a
        value is a note.
    locator : Locator
        Drawn where the numbers leave room.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    figure = blank_page(*SIZE)
    figure.text(LEFT, 0.95, title, fontsize=13, color=INK)
    figure.text(BESIDE, 0.95, subtitle, fontsize=8, color=FAINT)
    windows = windows_of(spectrum)
    shown = np.concatenate([np.arange(*window.indices(len(spectrum.data))) for window in windows])
    height = _Height.of(spectrum, shown)
    lengths = np.array([np.ptp(spectrum.coordinate[window]) for window in windows])
    parts = np.maximum(lengths, 0.2 * lengths.max()) + 1e-12
    edges = LEFT + (RIGHT - LEFT) * np.concatenate([[0.0], np.cumsum(parts / parts.sum())])
    for number, window in enumerate(windows):
        left, wide = edges[number], np.diff(edges)[number] - (0.006 if len(windows) > 1 else 0.0)
        upper = figure.add_axes((left, 0.325, wide, 0.465))
        lower = figure.add_axes((left, 0.105, wide, 0.2), sharex=upper)
        _draw_fit(upper, spectrum, window, height)
        _draw_residual(lower, spectrum, window, height)
        _draw_marks(upper, spectrum, window, apart=0.0135 / wide)
        for axes in (upper, lower):
            _tidy(axes, named=number == 0, ticks=max(2, round(9 * wide / (RIGHT - LEFT))))
        upper.tick_params(labelbottom=False)
        if number == 0:
            unit = unit_text(spectrum.unit, height.exponent)
            upper.set_ylabel(f"flux density [{unit}]" if unit else "flux density", fontsize=8)
            lower.set_ylabel("residual / noise", fontsize=8)
        if number == len(windows) - 1:
            _write_legend(upper)
        if not np.isfinite(spectrum.data[window]).any():
            upper.text(0.5, 0.5, "no data", transform=upper.transAxes, color=FAINT, ha="center")
    name, unit = _AXIS[spectrum.kind]
    figure.text((LEFT + RIGHT) / 2, 0.03, f"{name} [{unit}]", fontsize=8, color=INK, ha="center")
    bottom = write_numbers(figure, numbers)
    _draw_locator(figure, locator, top=bottom - 0.05)
    save(figure, path)


def windows_of(spectrum: Spectrum) -> list[slice]:
    """Cut the axis into the windows that were fitted, with some air; all of it if none was.

    Gaps shorter than a twentieth of what was fitted are shown.
    """
    fitted = np.flatnonzero(np.isfinite(spectrum.model))
    if fitted.size == 0:
        return [slice(0, len(spectrum.data))]
    x = spectrum.coordinate
    breaks = np.flatnonzero(np.diff(fitted) > max(1, fitted.size // 20))
    starts = fitted[np.concatenate([[0], breaks + 1])]
    stops = fitted[np.concatenate([breaks, [fitted.size - 1]])]
    air = max(1, int(0.02 * fitted.size))
    return [
        slice(max(0, start - air), min(len(x), stop + 1 + air))
        for start, stop in zip(starts, stops, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Height:
    """Limits shared by all windows: of the spectrum over 10^exponent, and of the residual."""

    low: float
    high: float
    exponent: int
    reach: float

    @classmethod
    def of(cls, spectrum: Spectrum, shown: NDArray[np.int64]) -> "_Height":
        """Show all of the model and of the data, but for single wild channels."""
        data, model = spectrum.data[shown], spectrum.model[shown]
        finite = data[np.isfinite(data)]
        known = model[np.isfinite(model)]
        if finite.size == 0:
            return cls(0.0, 1.0, 0, 4.0)
        ends = np.concatenate([np.percentile(finite, (0.2, 99.8)), known])
        low, high = float(ends.min()), float(ends.max())
        span = (high - low) or abs(high) or 1.0
        exponent = scale_exponent((low, high))
        left = np.abs(_residual(spectrum)[shown])
        left = left[np.isfinite(left)]
        reach = max(4.0, 1.15 * float(np.percentile(left, 99.5))) if left.size else 4.0
        power = 10.0**exponent
        return cls((low - 0.06 * span) / power, (high + 0.2 * span) / power, exponent, reach)


def _residual(spectrum: Spectrum) -> NDArray[Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (spectrum.data - spectrum.model) / spectrum.noise


def _draw_fit(axes: Axes, spectrum: Spectrum, window: slice, height: _Height) -> None:
    x = spectrum.coordinate[window]
    data, model, continuum, noise = (
        curve[window] / 10.0**height.exponent
        for curve in (spectrum.data, spectrum.model, spectrum.continuum, spectrum.noise)
    )
    axes.fill_between(
        x, model - noise, model + noise, step="mid", color=NOISE, linewidth=0, label="noise"
    )
    axes.step(x, data, where="mid", color=DATA, linewidth=0.9, label="data")
    axes.plot(x, continuum, color=CONTINUUM, linewidth=1.1, dashes=(4, 3), label="continuum")
    axes.plot(x, model, color=MODEL, linewidth=1.4, label="model")
    axes.set_ylim(height.low, height.high)
    axes.set_xlim(x[0], x[-1])


def _draw_residual(axes: Axes, spectrum: Spectrum, window: slice, height: _Height) -> None:
    axes.axhspan(-1, 1, color=NOISE, linewidth=0)
    axes.axhline(0, color=MODEL, linewidth=0.9)
    left = _residual(spectrum)[window]
    axes.step(spectrum.coordinate[window], left, where="mid", color=DATA, linewidth=0.8)
    axes.set_ylim(-height.reach, height.reach)


def _tidy(axes: Axes, *, named: bool, ticks: int) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, prune="both"))
    axes.ticklabel_format(axis="x", style="plain", useOffset=False)
    axes.xaxis.set_minor_locator(AutoMinorLocator())
    axes.tick_params(labelsize=7.5, labelcolor=INK, color=FAINT, length=3, labelleft=named)
    axes.tick_params(which="minor", color=FAINT, length=1.8)
    axes.yaxis.label.set_color(INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)


def _write_legend(axes: Axes) -> None:
    axes.legend(
        loc="upper right",
        fontsize=7.5,
        framealpha=0.85,
        edgecolor="none",
        labelcolor=INK,
        ncols=4,
        handlelength=1.6,
        columnspacing=1.2,
        borderpad=0.2,
    )


def _draw_marks(axes: Axes, spectrum: Spectrum, window: slice, *, apart: float) -> None:
    """Name the lines above the picture, pushed apart, each joined to its place."""
    low, high = spectrum.coordinate[window][[0, -1]]
    marks = sorted((at, label) for label, at in spectrum.marks if low <= at <= high)
    place = np.array([(at - low) / (high - low) for at, _ in marks])
    moved = push_apart(place, apart=apart)
    for (at, label), under, over in zip(marks, place, moved, strict=True):
        axes.axvline(at, color=FAINT, linewidth=0.5, alpha=0.5, zorder=0)
        axes.plot(
            (under, under, over, over),
            (1.0, 1.012, 1.035, 1.047),
            transform=axes.transAxes,
            clip_on=False,
            color=FAINT,
            linewidth=0.5,
        )
        axes.text(
            over,
            1.055,
            label,
            transform=axes.transAxes,
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=INK,
        )


def push_apart(places: NDArray[np.float64], *, apart: float) -> NDArray[np.float64]:
    """Move labels as little as it takes for neighbours to be `apart`.

    Parameters
    ----------
    places : ndarray, shape (line,)
        Increasing, from 0 to 1.
    apart : float
        Smallest distance of neighbours.

    Returns
    -------
    ndarray, shape (line,)
        Nearest places in the sense of least squares: in y = place - k apart they may not
        decrease, so that neighbours in the wrong order share their mean (pool adjacent
        violators).
    """
    steps = apart * np.arange(len(places))
    if len(places) == 0:
        return places
    pools: list[list[float]] = []
    for value in places - steps:
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            mean, count = pools.pop()
            pools[-1] = [
                (pools[-1][0] * pools[-1][1] + mean * count) / (pools[-1][1] + count),
                pools[-1][1] + count,
            ]
    pooled = [np.full(int(count), mean, np.float64) for mean, count in pools]
    return np.concatenate(pooled) + steps


def write_numbers(figure: Figure | SubFigure, numbers: Sequence[tuple[str, str]]) -> float:
    """Write names and values in two columns on the right; give the height where they end."""
    height, step = 0.9, 0.033
    for name, value in numbers:
        if not name:
            height -= 0.4 * step
            continue
        for line in textwrap.wrap(name, 52) if not value else [name]:
            height -= step
            figure.text(BESIDE, height, line, fontsize=8, color=FAINT if value else MODEL)
        figure.text(BESIDE + 0.085, height, value, fontsize=8, color=INK)
    return height


def _draw_locator(figure: Figure, locator: Locator, *, top: float) -> None:
    """Draw the small map in the corner, a ring about the spaxel; left out where it is crowded."""
    ny, nx = locator.values.shape
    high = min(top - 0.105, 0.4, (0.985 - BESIDE) * SIZE[0] / SIZE[1] * ny / nx)
    if high < 0.1:
        return
    wide = high * SIZE[1] / SIZE[0] * nx / ny
    axes = figure.add_axes((BESIDE, 0.105, wide, high), facecolor=EMPTY)
    axes.imshow(
        locator.values,
        origin="lower",
        cmap=colormaps["inferno"],
        norm=stretch(locator.values, "intensity"),
        interpolation="nearest",
        aspect="auto",
    )
    for colour, width in (("#10131a", 3.2), ("#ffffff", 1.4)):
        axes.plot(
            *locator.place,
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=width,
        )
    axes.set(xticks=[], yticks=[], xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5))
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    figure.text(BESIDE, 0.075, locator.label, fontsize=7.5, color=FAINT)
