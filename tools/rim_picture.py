"""Draws the X-ray network beside the classical methods: one observation, and errors by counts."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..kernels.poisson import fold
from ..kernels.response import DETECTOR_EDGES
from ..kernels.unfold import Problem, pseudo_inverse, tikhonov
from ..kernels.unfold_map import penalised_map
from ..models.rim import Rim
from .rim_trials import draw_trials
from .spectrum_errors import CENTRES
from .xray_responses import Instrument

Array = NDArray[np.float64]

_EXAMPLE = (4900.0, 5100.0)  # counts of the observation that is drawn
_EXPOSURE = 5e4  # s
_SEED = 3
_COLOURS = {
    "RIM": "#c1272d",
    "MAP": "#2a6fbb",
    "Richardson-Lucy": "#3a8f4d",
    "ISIS": "#8a6d3b",
    "Tikhonov": "#8e5ea2",
    "plain inverse": "#b0b0b0",
}


def draw(found: dict[str, Any], instrument: Instrument, path: Path) -> None:
    """Draw a comparison.

    Parameters
    ----------
    found : dict
        Of `rim_comparison.compare`.
    instrument : Instrument
        Of the observation that is drawn.
    path : Path
        PNG to write.
    """
    figure = Figure(figsize=(12.0, 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 2, width_ratios=[1.5, 1.0], height_ratios=[2.0, 1.0, 0.6])
    trials = draw_trials([instrument], _EXAMPLE, 1, seed=_SEED, kind="cluster", background=False)
    problem = Problem(trials.counts[0], _EXPOSURE * instrument.working, trials.background[0])
    truth = trials.log_flux[0] - np.log(_EXPOSURE)
    rim = Rim().deconvolve(problem.counts[None], problem.matrix[None], problem.background[None])
    log_flux, sigma = rim.log_flux[0], rim.log_flux_sigma[0]
    _spectrum(figure.add_subplot(grid[0, 0]), problem, truth, log_flux, sigma)
    model = fold(problem.matrix, np.exp(log_flux), problem.background)
    upper = figure.add_subplot(grid[1, 0])
    _refolded(upper, figure.add_subplot(grid[2, 0]), problem.counts, model)
    _errors(figure.add_subplot(grid[0, 1]), found)
    _coverage(figure.add_subplot(grid[1:, 1]), found)
    figure.savefig(path, dpi=110)


def _spectrum(axes: Axes, problem: Problem, truth: Array, log_flux: Array, sigma: Array) -> None:
    """Draw the intrinsic spectrum as each method finds it."""
    inverse = pseudo_inverse(problem).flux
    axes.plot(CENTRES, np.abs(inverse), ".", ms=3, color=_COLOURS["plain inverse"])
    axes.plot([], [], ".", color=_COLOURS["plain inverse"], label="plain inverse (its size)")
    axes.plot(CENTRES, tikhonov(problem).flux, lw=0.8, color=_COLOURS["Tikhonov"], label="Tikhonov")
    best = penalised_map(problem).flux
    axes.plot(CENTRES, best, lw=1.0, color=_COLOURS["MAP"], label="MAP")
    for times, alpha in ((1.96, 0.15), (1.0, 0.3)):
        low, high = np.exp(log_flux - times * sigma), np.exp(log_flux + times * sigma)
        axes.fill_between(CENTRES, low, high, color=_COLOURS["RIM"], alpha=alpha, lw=0)
    axes.plot(CENTRES, np.exp(log_flux), lw=1.2, color=_COLOURS["RIM"], label="RIM, 68 and 95 %")
    axes.plot(CENTRES, np.exp(truth), lw=0.8, color="black", label="truth")
    top = float(np.exp(truth).max())
    axes.set(xscale="log", yscale="log", xlim=(0.5, 7.5), ylim=(top / 3e4, 1e4 * top))
    axes.set_ylabel("photons/cm2/s/keV")
    axes.set_title("Intrinsic spectrum of a simulated cluster, 5,000 counts", fontsize=10)
    axes.legend(fontsize=8, frameon=False, ncols=2)


def _refolded(axes: Axes, below: Axes, counts: Array, model: Array) -> None:
    """Draw the counts, what the network's spectrum folds to, and what is left."""
    energy = 0.5 * (DETECTOR_EDGES[1:] + DETECTOR_EDGES[:-1])
    axes.step(energy, counts, where="mid", lw=0.7, color="black", label="observed counts")
    axes.plot(energy, model, color=_COLOURS["RIM"], lw=1.2, label="RIM, folded again")
    axes.set(xscale="log", xlim=(0.5, 7.5), ylabel="counts a bin")
    axes.legend(fontsize=8, frameon=False)
    left = (counts - model) / np.sqrt(np.maximum(model, 1.0))
    below.axhline(0.0, color="black", lw=0.6)
    below.plot(energy, left, ".", ms=3, color=_COLOURS["RIM"])
    below.set(xscale="log", xlim=(0.5, 7.5), ylim=(-4, 4), xlabel="energy [keV]", ylabel="residual")


def _errors(axes: Axes, found: dict[str, Any]) -> None:
    """Draw the smoothed L1 of every method against the counts."""
    best: dict[str, dict[float, float]] = {}
    for part in found["clusters"]:
        middle = float(np.sqrt(part["counts"][0] * part["counts"][1]))
        for score in part["scores"]:
            kept = best.setdefault(score["method"], {})
            kept[middle] = min(score["smoothed"], kept.get(middle, np.inf))
    for method, points in best.items():
        if method == "plain inverse":
            continue
        axes.plot(
            list(points), list(points.values()), "o-", ms=4, color=_COLOURS[method], label=method
        )
    faint = [(one["counts"], one["scores"][0]["smoothed"]) for one in found["faint"]]
    axes.plot(*zip(*faint, strict=True), "--", lw=0.9, color=_COLOURS["RIM"])
    inverse = [
        score["smoothed"]
        for part in found["clusters"]
        for score in part["scores"]
        if score["method"] == "plain inverse"
    ]
    axes.set(xscale="log", yscale="log", xlabel="counts", ylabel="smoothed L1")
    text = f"plain inverse: {min(inverse):.0f} to {max(inverse):.0f}"
    axes.set_title(f"Error by counts ({text})", fontsize=10)
    axes.legend(fontsize=8, frameon=False)


def _coverage(axes: Axes, found: dict[str, Any]) -> None:
    """Draw how many truths the bands of the network hold."""
    for key, part, colour in (
        ("within_68", 0.68, _COLOURS["RIM"]),
        ("within_95", 0.95, _COLOURS["MAP"]),
    ):
        low, high = {0.68: (0.64, 0.72), 0.95: (0.93, 0.97)}[part]
        axes.axhspan(low, high, color=colour, alpha=0.12, lw=0)
        for name, marker in (("clusters", "o"), ("all kinds", "s")):
            rows = [one for one in found["bands"] if one["source"] == name]
            middle = [float(np.sqrt(np.prod(one["counts"]))) for one in rows]
            covered = [one["scores"][0][key] for one in rows]
            label = f"{part:.0%} bands, {name}"
            axes.plot(middle, covered, f"{marker}-", ms=4, color=colour, label=label)
    axes.set(xscale="log", ylim=(0.5, 1.0), xlabel="counts", ylabel="truths within")
    axes.legend(fontsize=8, frameon=False, loc="lower right")
