"""Histograms of pulls against the normal distribution they should follow."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

_EDGES = np.linspace(-4, 4, 33)
_COLUMNS = 4


def draw_pulls(pulls: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """Draw a histogram for each quantity but the amplitudes, which go with their fluxes.

    Parameters
    ----------
    pulls : mapping of str to ndarray
        Pulls by column.
    path : Path
        PNG to write.
    """
    names = [name for name in pulls if not name.endswith("_amplitude")]
    rows = -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(3.0 * _COLUMNS, 2.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    centres = 0.5 * (_EDGES[1:] + _EDGES[:-1])
    normal = np.exp(-0.5 * centres**2) / np.sqrt(2 * np.pi)
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows, _COLUMNS, place)
        pull = pulls[name]
        weights = np.full(pull.size, 1 / max(pull.size, 1) / (_EDGES[1] - _EDGES[0]))
        axes.hist(
            pull, _EDGES.tolist(), weights=weights, color="#7fa7d4", label=f"n = {pull.size:,}"
        )
        axes.plot(centres, normal, color="#222222", linewidth=1, label="normal")
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.set_yticks([])
        axes.set_xlabel("(fitted - true) / error", fontsize=7)
        axes.legend(fontsize=6, frameon=False)
    figure.savefig(path, dpi=130)
