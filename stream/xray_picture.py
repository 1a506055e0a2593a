"""A picture of one observation or source: its counts, and its spectrum before the telescope.

Counts are drawn per keV and second, grouped where they are few, with what the deconvolved spectrum
and another one fold to: that of another method, or the source model that was fitted. Residuals are
in standard deviations of the counts expected. Below stands the intrinsic spectrum with its bands of
68 and 95 %, the other one over it; beside it the corner plot of the posterior where there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from ..kernels.poisson import fold
from ..kernels.response import DETECTOR_EDGES, ENERGY_EDGES
from ..kernels.unfold import Problem
from .corner import draw_corner
from .sheet import FAINT, INK, blank_page, save
from .spectrum import BESIDE, DATA, LEFT, MODEL, NOISE, RIGHT, write_numbers

Array = NDArray[np.float64]

SIZE, CORNER = (12.4, 8.2), 7.0  # inches; what a corner plot adds to the width
BACKGROUND, OTHER = "#2f7fb5", "#8a6d3b"
_GROUP = 10.0  # counts expected in a group of detector bins, at least
_WIDE = 1.959964  # standard deviations of a band of 95 %
_TICKS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)  # keV


@dataclass(frozen=True, slots=True)
class Subject:
    """What is drawn.

    Parameters
    ----------
    problem : Problem
        Counts, response and background on the working grid.
    exposure : float
        [s].
    flux, sigma : ndarray, shape (energy,)
        The deconvolved spectrum [photons/cm2/s/keV] and the standard deviation of its logarithm.
    other : ndarray, shape (energy,)
        Of another method, or of the source model [photons/cm2/s/keV].
    names : (str, str)
        Of the two.
    fitted : bool
        Whether the other one is the model that was fitted: residuals are then those of the fit.
    """

    problem: Problem
    exposure: float
    flux: Array
    sigma: Array
    other: Array
    names: tuple[str, str]
    fitted: bool = False


@dataclass(frozen=True, slots=True)
class Corner:
    """A posterior to be drawn: draws (draw, parameter), the fit (parameter,), and their labels."""

    draws: Array
    fit: Array
    labels: tuple[str, ...]


def draw_observation(
    path: Path,
    subject: Subject,
    *,
    title: str,
    subtitle: str,
    numbers: Sequence[tuple[str, str]],
    corner: Corner | None = None,
) -> None:
    """Draw counts and spectrum as a PNG.

    Parameters
    ----------
    path : Path
        The PNG, replaced if it is there.
    subject : Subject
    title, subtitle : str
        Which observation, by what.
    numbers : sequence of (str, str)
        What stands beside the picture; see `spectrum.write_numbers`.
    corner : Corner or None

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    figure: Figure | SubFigure
    page = blank_page(SIZE[0] + (CORNER if corner else 0.0), SIZE[1])
    figure = page
    if corner is not None:
        figure, right = page.subfigures(1, 2, width_ratios=[SIZE[0], CORNER], squeeze=False)[0]
        draw_corner(right, {"": corner.draws}, corner.labels, fit=corner.fit)
    figure.text(LEFT, 0.965, title, fontsize=13, color=INK)
    figure.text(BESIDE, 0.965, subtitle, fontsize=8, color=FAINT)
    wide = RIGHT - LEFT
    upper = figure.add_axes((LEFT, 0.635, wide, 0.3))
    middle = figure.add_axes((LEFT, 0.505, wide, 0.12), sharex=upper)
    lower = figure.add_axes((LEFT, 0.065, wide, 0.37), sharex=upper)
    _draw_counts(upper, middle, subject)
    _draw_spectrum(lower, subject)
    for axes in (upper, middle, lower):
        _tidy(axes)
    upper.tick_params(labelbottom=False)
    write_numbers(figure, numbers)
    save(page, path)


def groups(expected: Array, least: float = _GROUP) -> NDArray[np.int64]:
    """Begin a group of detector bins wherever the one before holds enough.

    Parameters
    ----------
    expected : ndarray, shape (detector,)
        Counts expected.
    least : float
        Counts of a group; what is left at the end joins the last one.

    Returns
    -------
    ndarray of int, shape (group,)
        First bin of each group.
    """
    starts, held = [0], 0.0
    for index, counts in enumerate(expected):
        if held >= least:
            starts.append(index)
            held = 0.0
        held += counts
    if held < least and len(starts) > 1:
        starts.pop()
    return np.array(starts)


def _draw_counts(upper: Axes, middle: Axes, subject: Subject) -> None:
    """Draw counts, both folded spectra, the background, and what is left over."""
    problem = subject.problem
    spectra = [(subject.flux, f"{subject.names[0]}, refolded"), (subject.other, subject.names[1])]
    if subject.fitted:
        spectra = [(subject.other, f"{subject.names[1]}, folded"), (subject.flux, spectra[0][1])]
    models = [fold(problem.matrix, flux, problem.background) for flux, _ in spectra]
    starts = groups(np.maximum(np.nan_to_num(models[0]), 0.0))
    counts, model, other, background = (
        np.add.reduceat(array, starts) for array in (problem.counts, *models, problem.background)
    )
    edges = DETECTOR_EDGES[np.append(starts, DETECTOR_EDGES.size - 1)]
    per = np.diff(edges) * subject.exposure
    centre, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    error = np.sqrt(np.maximum(counts, 1.0))
    upper.errorbar(
        centre,
        counts / per,
        error / per,
        half,
        fmt="none",
        ecolor=DATA,
        elinewidth=0.8,
        label="counts",
    )
    if background.any():
        upper.stairs(
            background / per, edges, baseline=None, color=BACKGROUND, lw=1.0, label="background"
        )
    dashes = {"color": OTHER, "lw": 1.0, "ls": (0, (4, 3)), "baseline": None}
    upper.stairs(other / per, edges, label=spectra[1][1], **dashes)
    curve = {"color": MODEL, "lw": 1.4, "baseline": None}
    upper.stairs(model / per, edges, label=spectra[0][1], **curve)
    upper.set(xscale="log", yscale="log", ylabel="counts s⁻¹ keV⁻¹")
    positive = (counts / per)[counts > 0]
    if positive.size:
        upper.set_ylim(0.5 * positive.min(), 2.0 * positive.max())
    _write_legend(upper)
    scale = np.sqrt(np.maximum(model, np.finfo(float).tiny))
    middle.axhspan(-1, 1, color=NOISE, linewidth=0)
    middle.axhline(0, color=MODEL, linewidth=0.9)
    middle.errorbar(centre, (counts - model) / scale, 1.0, half, fmt="none", ecolor=DATA, lw=0.8)
    middle.set_ylabel("residual / σ")
    reach = max(4.0, 1.1 * float(np.nanmax(np.abs((counts - model) / scale)) + 1.0))
    middle.set_ylim(-min(reach, 12.0), min(reach, 12.0))


def _draw_spectrum(axes: Axes, subject: Subject) -> None:
    """Draw the intrinsic spectrum with its bands, and the other one."""
    flux, sigma = subject.flux, subject.sigma
    if np.isfinite(sigma).any():
        for reach, colour, label in ((_WIDE, "#f3d3d7", "95 %"), (1.0, "#e5a3ab", "68 %")):
            low, high = (flux * np.exp(sign * reach * sigma) for sign in (-1, 1))
            axes.stairs(high, ENERGY_EDGES, baseline=low, fill=True, color=colour, label=label)
    dashes = {"color": OTHER, "lw": 1.0, "ls": (0, (4, 3)), "baseline": None}
    axes.stairs(subject.other, ENERGY_EDGES, label=subject.names[1], **dashes)
    axes.stairs(flux, ENERGY_EDGES, baseline=None, color=MODEL, lw=1.4, label=subject.names[0])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="energy [keV]",
        ylabel="photons cm⁻² s⁻¹ keV⁻¹",
        xlim=(ENERGY_EDGES[0], ENERGY_EDGES[-1]),
    )
    positive = flux[np.isfinite(flux) & (flux > 0)]
    if positive.size:
        top = float(positive.max())
        axes.set_ylim(max(0.4 * float(positive.min()), 1e-5 * top), 2.5 * top)
    _write_legend(axes)


def _tidy(axes: Axes) -> None:
    axes.tick_params(which="both", labelsize=7.5, labelcolor=INK, color=FAINT, length=3)
    axes.set_xticks(_TICKS)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=8)
    axes.spines[:].set(color=FAINT, linewidth=0.6)


def _write_legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        fontsize=7.5,
        framealpha=0.85,
        edgecolor="none",
        labelcolor=INK,
        ncols=5,
        handlelength=1.8,
        columnspacing=1.2,
        borderpad=0.2,
    )
