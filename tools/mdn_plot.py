"""The calibration of the mixture density network in one picture."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .compare_mdn import SNR, Figures, Sample, figures

_COLOURS = ("#31518f", "#3f8fb5", "#57b38a", "#d9a441", "#c8553d")
_NAMES = ("velocity", "broadening")


def draw_calibration(sample: Sample, path: Path) -> None:
    """Draw ranks, coverage, bias and scatter against the bound, by signal and resolving power.

    Parameters
    ----------
    sample : Sample
    path : Path
        PNG to write.
    """
    figure = Figure(figsize=(12.5, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 4)
    powers = np.unique(sample.resolution)
    bins = {power: _by_snr(sample.part(sample.resolution == power)) for power in powers}
    for row, name in enumerate(_NAMES):
        _ranks(axes[row, 0], sample.rank[:, row], name)
        _lines(axes[row, 1], bins, lambda f, row=row: f.inside_68[row], "inside 68 %", (0.55, 0.81))
        axes[row, 1].axhspan(0.63, 0.73, color="#00000010", lw=0)
        _lines(axes[row, 2], bins, lambda f, row=row: f.bias[row], "bias / sigma", (-0.3, 0.3))
        axes[row, 2].axhspan(-0.1, 0.1, color="#00000010", lw=0)
        _lines(axes[row, 3], bins, lambda f, row=row: f.ratio[row], "scatter / CRB", (0.0, 2.6))
        axes[row, 3].axhline(1.0, color="#222222", lw=0.6)
    axes[0, 1].legend(fontsize=7, frameon=False, ncols=2)
    figure.savefig(path, dpi=110)


def _by_snr(sample: Sample) -> list[tuple[float, Figures]]:
    found = []
    for low, high in pairwise(SNR):
        own = sample.part((sample.snr >= low) & (sample.snr < high))
        if len(own.snr):
            found.append((float(np.sqrt(low * high)), figures("", own)))
    return found


def _ranks(axes: Axes, rank: NDArray[np.float64], name: str) -> None:
    """Histogram of the probabilities predicted below the truth, which should be level."""
    axes.hist(rank, np.linspace(0, 1, 21).tolist(), density=True, color="#7fa7d4")
    axes.axhline(1.0, color="#222222", lw=0.8)
    axes.set(ylim=(0, 1.4), xlabel="predicted probability below the truth")
    axes.set_title(name, loc="left", fontsize=10)


def _lines(
    axes: Axes,
    bins: dict[float, list[tuple[float, Figures]]],
    value: Callable[[Figures], float],
    label: str,
    limits: tuple[float, float],
) -> None:
    """One line for each resolving power."""
    for (power, rows), colour in zip(bins.items(), _COLOURS, strict=False):
        snr = [at for at, _ in rows]
        axes.plot(snr, [value(f) for _, f in rows], "o-", ms=3, lw=1, color=colour,
                  label=f"R {power:g}")  # fmt: skip
    axes.set(xscale="log", ylim=limits, xlabel="SNR of the brightest peak")
    axes.set_title(label, loc="left", fontsize=10)
