"""Marginal distributions of draws, in ones and twos, of several priors over each other."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .extras import require
from .labels import quantity_label, scale_exponent, superscript
from .sheet import INK, blank_page, save

_COLOURS = ("#2f7fb5", "#d1495b", "#4a9d6f")
_SIDE = 1.5  # of a panel [inch]


def draw_corner(
    path: Path, draws: Mapping[str, Mapping[str, NDArray[np.float64]]], *, title: str
) -> None:
    """Draw a corner plot as a PNG (Foreman-Mackey 2016, JOSS 1, 24).

    Parameters
    ----------
    path : Path
        The PNG, replaced if it is there.
    draws : mapping
        Of each prior, the values of each parameter, shape (draw,); all have the same parameters.
    title : str

    Raises
    ------
    InputError
        If corner is not installed.
    StorageError
        If the disk refuses.
    """
    corner = require("corner", "explore")
    names = list(next(iter(draws.values())))
    together = np.concatenate([np.stack(list(one.values()), axis=1) for one in draws.values()])
    exponents = [scale_exponent(values) for values in together.T]
    powers = 10.0 ** np.array(exponents)
    labels = [
        quantity_label(name) + (f" / 10{superscript(exponent)}" if exponent else "")
        for name, exponent in zip(names, exponents, strict=True)
    ]
    together /= powers
    limits = np.quantile(together, [0.001, 0.999], axis=0)
    room = 0.05 * np.maximum(limits[1] - limits[0], 1e-12 * np.abs(limits[1]) + 1e-300)
    figure = blank_page(_SIDE * len(names), _SIDE * len(names))
    for colour, values in zip(_COLOURS, draws.values(), strict=False):
        corner.corner(
            np.stack([values[name] for name in names], axis=1) / powers,
            fig=figure,
            bins=30,
            range=list(zip(limits[0] - room, limits[1] + room, strict=True)),
            color=colour,
            labels=labels,
            label_kwargs={"fontsize": 7},
            plot_datapoints=False,
            fill_contours=False,
            smooth=1.0,
            hist_kwargs={"density": True},
            quiet=True,
        )
    for axes in figure.axes:
        axes.tick_params(labelsize=5)
    handles = [
        Line2D([], [], color=colour, label=f"prior {prior}")
        for colour, prior in zip(_COLOURS, draws, strict=False)
    ]
    figure.legend(handles=handles, loc="upper right", frameon=False, fontsize=10)
    figure.suptitle(title, color=INK, fontsize=12)
    save(figure, path)
