"""The corner plot of posteriors: each parameter alone, and each pair of them.

Drawn by corner (Foreman-Mackey 2016, JOSS 1, 24). Contours hold 39 and 86 % of the draws, the share
that one and two standard deviations of a Gaussian in two dimensions hold.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .sheet import FAINT, INK
from .spectrum import MODEL

Array = NDArray[np.float64]

_COLOURS = ("#2f7fb5", "#d1495b", "#4a9d6f")
_HELD = (0.393469, 0.864665)  # of a Gaussian in two dimensions, within one and two deviations
_REACH = 0.002  # of the draws left out at each end


def draw_corner(
    figure: Figure | SubFigure,
    draws: Mapping[str, Array],
    labels: Sequence[str],
    *,
    fit: Array | None = None,
) -> None:
    """Draw one posterior or several over each other.

    Parameters
    ----------
    figure : Figure or SubFigure
        All of it is used.
    draws : mapping of str to ndarray, shape (draw, parameter)
        By what they are called; names are told where there are several.
    labels : sequence of str
        Name and unit of each parameter.
    fit : ndarray, shape (parameter,), or None
        Marked.
    """
    from corner import corner  # takes half a second, which a run need not wait for

    together = np.concatenate(list(draws.values()))
    low, high = np.quantile(together, [_REACH, 1.0 - _REACH], axis=0)
    room = 0.05 * np.maximum(high - low, 1e-9 * np.abs(high) + 1e-300)
    marks = None if fit is None else [value if np.isfinite(value) else None for value in fit]
    for colour, values in zip(_COLOURS, draws.values(), strict=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few draws, whose contours coincide
            corner(
                values,
                fig=figure,
                bins=30,
                range=list(zip(low - room, high + room, strict=True)),
                levels=_HELD,
                color=colour,
                labels=list(labels),
                truths=marks,
                truth_color=MODEL,
                quantiles=[0.1587, 0.8413] if len(draws) == 1 else None,
                plot_datapoints=False,
                smooth=1.0,
                hist_kwargs={"density": True},
                quiet=True,
            )
    _tidy(figure)
    if len(draws) > 1:
        handles = [
            Line2D([], [], color=colour, label=name)
            for colour, name in zip(_COLOURS, draws, strict=False)
        ]
        figure.legend(handles=handles, loc="upper right", frameon=False, fontsize=10)


def _tidy(figure: Figure | SubFigure) -> None:
    """Make words and ticks as small as those of the other pictures."""
    for axes in figure.axes:
        axes.tick_params(labelsize=6, labelcolor=INK, color=FAINT, length=2)
        axes.xaxis.label.set(fontsize=8, color=INK)
        axes.yaxis.label.set(fontsize=8, color=INK)
        axes.spines[:].set(color=FAINT, linewidth=0.6)
