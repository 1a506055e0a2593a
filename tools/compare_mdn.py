"""Hold the mixture density network to the truth of simulations it never saw.

``python -m streamfit.tools.compare mdn`` simulates spectra at resolving powers that no training
spectrum had, and prints by signal-to-noise ratio, resolving power, continuum and broadening: the
bias in predicted standard deviations, the scatter over the Cramer-Rao bound, and the share of
truths inside the 68 and 95 % intervals. The bound is that of the exact model at the truth, and only
spectra that are what the model says they are have one: one component, nothing added.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.table import Table
from scipy.stats import kstest

from ..kernels import varpro
from ..kernels.score_map import Reading
from ..models.card import save_card
from ..models.mdn import GRAPH, DensityNetwork
from .training_spectra import (
    BROADEST,
    HELD_OUT,
    Observatory,
    Spectra,
    draw_observatory,
    draw_spectra,
)

Array = NDArray[np.float64]

SNR = (1.0, 3.0, 5.0, 10.0, 30.0, 100.0, 200.0)
CONTINUUM = (0.0, 0.01, 0.1, 0.5, 1.0, 3.0, 5.0)
WIDTHS = (0.0, 10.0, 30.0, 60.0, 120.0, 200.0, 300.0)
_EACH = 1000  # spectra of one observatory
_PIT = 5000  # truths in the test of flatness


@dataclass(frozen=True, slots=True)
class Sample:
    """Truth and prediction; arrays of shape (spaxel,), those of two columns velocity, broadening.

    Parameters
    ----------
    resolution, snr, continuum : ndarray
    plain : ndarray of bool
        One component and nothing added.
    truth, mean, sigma : ndarray, shape (spaxel, 2)
        [km/s].
    rank : ndarray, shape (spaxel, 2)
        Probability that was predicted below the truth.
    bound : ndarray, shape (spaxel, 2)
        Cramer-Rao bound; NaN where there is none.
    """

    resolution: Array
    snr: Array
    continuum: Array
    plain: NDArray[np.bool_]
    truth: Array
    mean: Array
    sigma: Array
    rank: Array
    bound: Array

    def part(self, rows: NDArray) -> "Sample":
        """Give some spectra."""
        return Sample(*(getattr(self, field.name)[rows] for field in fields(self)))

    def predicted(self, mean: Array, sigma: Array, rank: Array) -> "Sample":
        """Give the same spectra with another's prediction."""
        return replace(self, mean=mean, sigma=sigma, rank=rank)

    @property
    def pull(self) -> Array:
        """Error over the predicted standard deviation, shape (spaxel, 2)."""
        return (self.mean - self.truth) / self.sigma


def draw_sample(
    network: DensityNetwork, resolution: float, count: int, *, seed: int, plain: bool = False
) -> Sample:
    """Simulate spectra at one resolving power, of instruments and lines of all kinds.

    Parameters
    ----------
    network : DensityNetwork
    resolution : float
    count : int
    seed : int
    plain : bool
        True leaves out second components, blank spectra and everything that goes wrong.
    """
    rng = np.random.default_rng([seed, int(resolution)])
    parts = []
    for first in range(0, count, _EACH):
        observatory = draw_observatory(rng, resolution=resolution, usual=True)
        spectra = draw_spectra(observatory, min(_EACH, count - first), rng, plain=plain)
        parts.append(observe(network, observatory, spectra)[0])
    return joined(parts)


def joined(parts: Sequence[Sample]) -> Sample:
    """Put samples into one."""
    names = [field.name for field in fields(Sample)]
    return Sample(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def observe(
    network: DensityNetwork, observatory: Observatory, spectra: Spectra
) -> tuple[Sample, NDArray[np.bool_]]:
    """Say what the network makes of spectra, and which of them have a score map."""
    count = len(spectra.data)
    reading = observatory.score_map().read(spectra.data, np.ones(count))
    good = np.asarray(np.isfinite(reading.features).all(axis=1))
    kept = Reading(reading.features[good], reading.anchors[good])
    density = network.density(kept, observatory.velocity)
    moments = density.moments()
    v, b = spectra.velocity[good], spectra.broadening[good]
    bound = np.full((count, 2), np.nan)
    sure = spectra.plain & (spectra.snr >= 1)
    bound[sure] = cramer_rao(observatory, spectra.noiseless[sure], v=spectra.velocity[sure],
                             b=spectra.broadening[sure])  # fmt: skip
    sample = Sample(
        np.full(good.sum(), observatory.resolution),
        spectra.snr[good],
        spectra.continuum[good],
        spectra.plain[good],
        np.stack([v, b], axis=1),
        np.stack([moments.velocity, moments.broadening], axis=1),
        np.stack([moments.velocity_sigma, moments.broadening_sigma], axis=1),
        np.stack([density.velocity_cdf(v), density.broadening_cdf(b)], axis=1),
        bound[good],
    )
    return sample, good


def cramer_rao(observatory: Observatory, noiseless: NDArray, *, v: Array, b: Array) -> Array:
    """Least standard errors of velocity and broadening at the truth, for noise of one."""
    count = len(noiseless)
    width = np.repeat(observatory.width[None], count, axis=0)
    found = varpro.fit(
        noiseless,
        np.ones(noiseless.shape),
        observatory.emission,
        observatory.continuum,
        varpro.Geometry(observatory.coordinate, np.ones(count), width),
        start=(v[:, None].copy(), np.maximum(b, 0.5)[:, None]),
        bounds=varpro.Bounds((-3000.0, 3000.0), (0.2, 2 * BROADEST)),
    )
    return np.sqrt(np.einsum("sii->si", found.covariance)[:, :2])


@dataclass(frozen=True, slots=True)
class Figures:
    """What is found in one bin, for velocity and for broadening."""

    name: str
    n: int
    bias: tuple[float, float]  # mean error over the predicted sigma
    median: tuple[float, float]  # median of the same
    ratio: tuple[float, float]  # robust scatter over the bound
    inside_68: tuple[float, float]
    inside_95: tuple[float, float]


def figures(name: str, sample: Sample) -> Figures:
    """Summarise one bin."""
    away = np.abs(sample.rank - 0.5)
    plain = sample.part(sample.plain)
    scaled = (plain.mean - plain.truth) / plain.bound
    return Figures(
        name,
        len(sample.snr),
        _pair(sample.pull.mean(axis=0)),
        _pair(np.median(sample.pull, axis=0)),
        _pair(_robust(scaled)),
        _pair((away < 0.34).mean(axis=0)),
        _pair((away < 0.475).mean(axis=0)),
    )


def _pair(values: Array) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _robust(values: Array) -> Array:
    """Give 1.4826 times the median distance from the median."""
    if not len(values):
        return np.full(2, np.nan)
    return 1.4826 * np.nanmedian(np.abs(values - np.nanmedian(values, axis=0)), axis=0)


def all_figures(sample: Sample, *, least: int = 100) -> dict[str, list[Figures]]:
    """Give the tables by heading; bins of fewer spectra than `least` are left out."""
    out = {"all": [figures("all", sample), figures("plain", sample.part(sample.plain))]}
    bright = sample.part(sample.snr >= 5)
    out["SNR"] = list(_bins(sample, sample.snr, SNR, "SNR", least))
    for power in np.unique(sample.resolution):
        own = sample.part(sample.resolution == power)
        out[f"R {power:g}"] = list(_bins(own, own.snr, SNR, "SNR", least))
    out["continuum over peak, SNR > 5"] = list(
        _bins(bright, bright.continuum, CONTINUUM, "", least)
    )
    for of, by in (("true", bright.truth), ("predicted", bright.mean)):
        out[f"{of} broadening, SNR > 5"] = list(_bins(bright, by[:, 1], WIDTHS, "km/s", least))
    return out


def _bins(
    sample: Sample, by: Array, edges: Sequence[float], name: str, least: int
) -> Iterator[Figures]:
    for low, high in pairwise(edges):
        own = sample.part((by >= low) & (by < high))
        if len(own.snr) >= least:
            yield figures(f"{name} {low:g}-{high:g}".strip(), own)


def flatness(sample: Sample, *, seed: int = 0) -> tuple[float, float]:
    """Kolmogorov-Smirnov probabilities that the ranks of velocity and broadening are even."""
    rows = np.random.default_rng(seed).permutation(len(sample.snr))[:_PIT]
    return _pair(np.array([kstest(sample.rank[rows, i], "uniform").pvalue for i in (0, 1)]))


def printed(heading: str, rows: Sequence[Figures]) -> None:
    """Print the figures of some bins."""
    Console(width=130).print(_table(heading, rows))


def _table(heading: str, rows: Sequence[Figures]) -> Table:
    table = Table(title=heading, title_justify="left", box=None, pad_edge=False)
    for name in ("", "n", "bias", "median", "scatter/CRB", "68 %", "95 %"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for f in rows:
        pairs = [f"{a:+.3f} {b:+.3f}" for a, b in (f.bias, f.median)]
        pairs += [f"{a:.3f} {b:.3f}" for a, b in (f.ratio, f.inside_68, f.inside_95)]
        table.add_row(f.name, f"{f.n}", *pairs)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program: ``python -m streamfit.tools.compare mdn``."""
    parser = argparse.ArgumentParser(prog="compare mdn", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--spectra", type=int, default=20000, help="at each resolving power")
    parser.add_argument("--graph", type=Path, help="default: the one shipped")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--plain", action="store_true", help="nothing that goes wrong")
    parser.add_argument("--json", action="store_true", help="write JSON to standard output")
    parser.add_argument("--card", action="store_true", help="write the figures into its card")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw bias and coverage")
    arguments = parser.parse_args(argv)
    graph = arguments.graph or GRAPH
    network = DensityNetwork(graph=graph)
    sample = joined(
        [
            draw_sample(network, R, arguments.spectra, seed=arguments.seed, plain=arguments.plain)
            for R in HELD_OUT
        ]
    )
    found, even = all_figures(sample), flatness(sample)
    if arguments.picture:
        from .mdn_plot import draw_calibration

        draw_calibration(sample, arguments.picture)
    if arguments.card:
        measured = {
            "on": f"{len(sample.snr)} spectra, seed {arguments.seed}, R {HELD_OUT}",
            "flatness": even,
            "bins": [asdict(row) for row in (*found["all"], *found["SNR"])],
        }
        save_card(graph, replace(network.card, measured=measured))
    if arguments.json:
        bins = {heading: [asdict(row) for row in rows] for heading, rows in found.items()}
        print(json.dumps({"bins": bins, "flatness": even}, indent=1))
        return 0
    parts = [_table(heading, rows) for heading, rows in found.items()]
    Console(width=130).print(
        "velocity, then broadening, in each column",
        Group(*parts),
        f"ranks are even with p = {even[0]:.3f} and {even[1]:.3f}",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
