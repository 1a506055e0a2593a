"""The corner plot of a posterior: each parameter alone, and each pair of them.

Draws weigh the same. Contours hold 39 and 86 % of them, the share that one and two standard
deviations of a Gaussian in two dimensions hold; the fit is marked.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .sheet import FAINT, INK
from .spectrum import DATA, MODEL

Array = NDArray[np.float64]

_BINS = 24
_SMOOTH = 1.2  # bins
_HELD = (0.864665, 0.393469)  # of a Gaussian in two dimensions, within two and one deviations
_REACH = 0.5  # percent of the draws left out at each end


def draw_corner(
    figure: Figure | SubFigure, draws: Array, fit: Array, labels: Sequence[str]
) -> None:
    """Draw a corner plot.

    Parameters
    ----------
    figure : Figure or SubFigure
        All of it is used.
    draws : ndarray, shape (draw, parameter)
    fit : ndarray, shape (parameter,)
        Marked; NaN where there is none.
    labels : sequence of str
        Name and unit of each parameter.
    """
    size = draws.shape[1]
    ends = np.percentile(draws, [_REACH, 100.0 - _REACH], axis=0).T
    ends[:, 1] = np.where(ends[:, 1] > ends[:, 0], ends[:, 1], ends[:, 0] + 1e-9)
    left, bottom, step = 0.13, 0.1, 0.84 / size
    for row in range(size):
        for column in range(row + 1):
            place = left + column * step, bottom + (size - 1 - row) * step, 0.92 * step, 0.92 * step
            axes = figure.add_axes(place)
            if row == column:
                _draw_one(axes, draws[:, row], ends[row], fit[row])
            else:
                _draw_pair(axes, draws[:, [column, row]], ends[[column, row]], fit[[column, row]])
            _tidy(
                axes,
                labels[column] if row == size - 1 else "",
                labels[row] if row > column == 0 else "",
            )


def _draw_one(axes: Axes, draws: Array, ends: Array, fit: float) -> None:
    """Draw the histogram of one parameter, its central 68 % and the fit."""
    axes.hist(draws, bins=_BINS, range=(ends[0], ends[1]), histtype="stepfilled", color="#c9d6e2")
    for value in np.percentile(draws, [15.87, 84.13]):
        axes.axvline(value, color=DATA, lw=0.8, ls=(0, (3, 2)))
    axes.axvline(fit, color=MODEL, lw=1.0)
    axes.set_xlim(*ends)


def _draw_pair(axes: Axes, draws: Array, ends: Array, fit: Array) -> None:
    """Draw the contours of two parameters, and the fit."""
    counts, x, y = np.histogram2d(*draws.T, bins=_BINS, range=ends.tolist())
    smooth = gaussian_filter(counts, _SMOOTH)
    ordered = np.sort(smooth.ravel())[::-1]
    held = np.cumsum(ordered) / max(ordered.sum(), 1e-300)
    levels = [float(ordered[np.searchsorted(held, share)]) for share in _HELD]
    if 0.0 < levels[0] < levels[1] < smooth.max():
        centre = 0.5 * (x[1:] + x[:-1]), 0.5 * (y[1:] + y[:-1])
        axes.contourf(
            *centre, smooth.T, levels=[*levels, smooth.max()], colors=["#c9d6e2", "#7d9db8"]
        )
    else:
        axes.scatter(*draws.T, s=1.0, color="#7d9db8")
    axes.plot(*fit, marker="+", color=MODEL, ms=7, mew=1.2)
    axes.set(xlim=ends[0], ylim=ends[1])


def _tidy(axes: Axes, below: str, beside: str) -> None:
    """Label the outer axes only."""
    axes.set_xlabel(below, fontsize=8, color=INK)
    axes.set_ylabel(beside, fontsize=8, color=INK)
    axes.locator_params(nbins=3)
    axes.tick_params(
        labelsize=6.5,
        labelcolor=INK,
        color=FAINT,
        length=2,
        labelbottom=bool(below),
        labelleft=bool(beside),
    )
    axes.tick_params(axis="x", labelrotation=40)
    for text in (axes.xaxis.get_offset_text(), axes.yaxis.get_offset_text()):
        text.set(fontsize=6, color=INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
