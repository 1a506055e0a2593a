"""Hold the X-ray density network to the truth of clusters it never saw.

    python -m streamfit.tools.compare_xray_mdn RESPONSES

simulates clusters of kT 0.5-10 keV, abundance 0.1-1, nH 5e19-1e22 and redshift 0-0.5, half of them
with a background, of 500 to 50,000 counts, half through the response that was left out of the
training and half through some made up afresh; deconvolves them, and prints by counts: the bias in
predicted standard deviations, the scatter over what was predicted, and the part of truths inside
the 68 and 95 % intervals; and how even the ranks of the truths are. Clusters of one plasma are held
to the density if there is one, those of two to that if there are two. The column is told with an
error of a tenth, or not at all. A density is right for clusters drawn as those it was trained on
(``--as-trained``); of clusters drawn from narrower ranges not even the exact one has even ranks. So
the ranks counted are those among values within the ranges drawn from: as the training draws evenly
within these, the density cut to them is the one for such clusters.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.stats import kstest

from ..kernels.gaussian_mixture import GaussianMixture
from ..models.card import save_card
from ..models.plasma_table import load_plasma
from ..models.rim import RIM, Rim
from ..models.xray_mdn import COLUMN, COORDINATES, GRAPH, SIZES, XrayNetwork
from .rim_comparison import read_named
from .xray_batches import Simulator
from .xray_clusters import TESTED, Ranges
from .xray_responses import exact, invented
from .xray_shards import Shard, draw_shard, joined

Array = NDArray[np.float64]

COUNTS = (500.0, 1.5e3, 5e3, 1.5e4, 5e4)
COLUMN_ERROR = 0.1  # of ln nH, where it is told
_DRAWS, _FEWEST = 1000, 10  # to cut a density with, and those that must be left
_EACH = 100  # clusters drawn at a time
_SEED = 20263  # nothing of the training has it, and nothing was chosen by it


@dataclass(frozen=True, slots=True)
class Sample:
    """Truths and predictions; first axis (cluster,), second (coordinate,) of `COORDINATES`.

    Parameters
    ----------
    counts : ndarray, shape (cluster,)
        Observed.
    truth, mean, sigma : ndarray
    rank : ndarray
        Probability that was predicted below the truth.
    among : ndarray
        The same within the ranges that clusters were drawn from.
    second : ndarray, shape (cluster,)
        Probability of a second plasma.
    """

    counts: Array
    truth: Array
    mean: Array
    sigma: Array
    rank: Array
    among: Array
    second: Array

    def part(self, rows: NDArray) -> "Sample":
        """Give some clusters."""
        names = self.__slots__
        return Sample(*(getattr(self, name)[rows] for name in names))


@dataclass(frozen=True, slots=True)
class Figures:
    """What is found of one coordinate in a range of counts.

    Parameters
    ----------
    coordinate : str
    n : int
    bias : float
        Mean error over the predicted deviation.
    width : float
        Deviation of the same.
    sigma : float
        Median of the predicted deviations.
    inside_68, inside_95 : float
        Part of the truths.
    uneven : float
        Greatest distance of the distribution of ranks, `Sample.among`, from the even one.
    p : float
        Probability of such a distance by chance (Kolmogorov-Smirnov).
    """

    coordinate: str
    n: int
    bias: float
    width: float
    sigma: float
    inside_68: float
    inside_95: float
    uneven: float
    p: float


def draw_tests(
    rim: Rim,
    folder: Path,
    unseen: str,
    size: int,
    *,
    seed: int = _SEED,
    ranges: Ranges | None = TESTED,
) -> Shard:
    """Draw and deconvolve clusters behind responses that were not trained on.

    Parameters
    ----------
    rim : Rim
    folder : Path
        Of responses.
    unseen : str
        Name of the one left out of the training; half are seen through it, the others through
        responses made up anew for every hundred.
    size : int
        Clusters of each number of plasmas.
    seed : int
    ranges : Ranges or None
        None draws as the training does.
    """
    rng = np.random.default_rng(seed)
    simulator = Simulator(load_plasma(), (), rng, keep=0)
    known = exact(read_named(folder, unseen))
    parts = []
    for plasmas in SIZES:
        for _ in range(max(1, size // (2 * _EACH))):
            used = [known, invented(rng)]
            drawn = {"instruments": used, "each": _EACH, "ranges": ranges, "plasmas": plasmas}
            parts.append(draw_shard(rim, simulator, **drawn))
    return joined(parts)


def ranks_within(
    ranges: Ranges, density: GaussianMixture, truth: Array, rng: np.random.Generator
) -> Array:
    """Give the probability below truths, of densities cut to ranges, shape (cluster, coordinate).

    From `_DRAWS` draws: their error blurs a rank by 0.02 and does not move it. NaN where fewer than
    `_FEWEST` are inside.
    """
    rows, components, size = density.mean.shape
    found = np.full((rows, size), np.nan)
    factor = np.linalg.cholesky(density.covariance)
    for row in range(rows):
        chosen = rng.choice(components, _DRAWS, p=density.weights[row])
        normal = rng.standard_normal((_DRAWS, size))
        draws = density.mean[row, chosen] + np.einsum("nij,nj->ni", factor[row, chosen], normal)
        draws = draws[_inside(ranges, draws)]
        if len(draws) >= _FEWEST:
            below = (draws < truth[row]).sum(axis=0) + rng.random(size)
            found[row] = below / (len(draws) + 1)
    return found


def _inside(ranges: Ranges, at: Array) -> NDArray[np.bool_]:
    """Tell which coordinates, shape (n, 4) or (n, 6), are within ranges."""
    kT, abundance, column = at[:, 0], at[:, 1], at[:, COLUMN]
    pairs = [(kT, np.log(ranges.kT)), (abundance, ranges.abundance), (column, np.log(ranges.nH))]
    if at.shape[1] == SIZES[2]:
        pairs += [(at[:, 4] - kT, np.log(ranges.cooler)), (at[:, 5], np.log(ranges.second))]
    return np.all([(low <= value) & (value <= high) for value, (low, high) in pairs], axis=0)


def predict(
    network: XrayNetwork,
    shard: Shard,
    plasmas: int,
    *,
    seed: int | None,
    ranges: Ranges | None = None,
) -> Sample:
    """Give predictions of the clusters of one plasma or of two.

    Parameters
    ----------
    network : XrayNetwork
    shard : Shard
    plasmas : {1, 2}
    seed : int or None
        Of the errors of the columns told; None tells none.
    ranges : Ranges or None
        That the clusters were drawn from; None if as those of the training.
    """
    own = shard.part(shard.plasmas == plasmas)
    truth = own.truth[:, : SIZES[plasmas]].astype(np.float64)
    column = np.full(len(truth), np.nan)
    if seed is not None:
        errors = np.random.default_rng([seed, plasmas]).standard_normal(len(truth))
        column = truth[:, COLUMN] + COLUMN_ERROR * errors
    density = network.density(
        own.log_flux,
        own.sigma,
        counts=own.counts,
        background=own.background,
        redshift=own.redshift,
        column=column,
        column_sigma=np.full(len(truth), COLUMN_ERROR),
    )
    given = density.one if plasmas == 1 else density.two
    mean, sigma = given.moments()
    counts, rank = own.counts.astype(np.float64), given.cdf(truth)
    among = rank
    if ranges is not None:
        among = ranks_within(ranges, given, truth, np.random.default_rng(_SEED))
    return Sample(counts, truth, mean, sigma, rank, among, density.second)


def figures(sample: Sample) -> list[Figures]:
    """Summarise a sample, a coordinate each."""
    pull = (sample.mean - sample.truth) / sample.sigma
    away = np.abs(sample.rank - 0.5)
    found = []
    for i in range(sample.truth.shape[1]):
        ranks = sample.among[:, i]
        test = kstest(ranks[np.isfinite(ranks)], "uniform")
        numbers = (
            pull[:, i].mean(),
            pull[:, i].std(),
            np.median(sample.sigma[:, i]),
            (away[:, i] < 0.341345).mean(),
            (away[:, i] < 0.475).mean(),
            test.statistic,
            test.pvalue,
        )
        found.append(Figures(COORDINATES[i], len(pull), *(round(float(x), 4) for x in numbers)))
    return found


def compare(
    network: XrayNetwork, shard: Shard, *, ranges: Ranges | None, seed: int = 5
) -> list[dict[str, Any]]:
    """Give figures for JSON: by number of plasmas, column told or not, and range of counts."""
    rows: list[dict[str, Any]] = []
    for plasmas in SIZES:
        for told in (True, False):
            errors = seed if told else None
            sample = predict(network, shard, plasmas, seed=errors, ranges=ranges)
            for low, high in [(COUNTS[0], COUNTS[-1]), *pairwise(COUNTS)]:
                part = sample.part((sample.counts >= low) & (sample.counts < high))
                if not len(part.counts):
                    continue
                rows.append(
                    {
                        "plasmas": plasmas,
                        "column": "told" if told else "free",
                        "counts": [low, high],
                        "second": round(float(part.second.mean()), 4),
                        "figures": [asdict(one) for one in figures(part)],
                    }
                )
    return rows


def tables(rows: Sequence[dict[str, Any]]) -> list[Table]:
    """Give the figures for a terminal."""
    made: dict[tuple[int, str], Table] = {}
    for row in rows:
        key = row["plasmas"], row["column"]
        if key not in made:
            title = f"plasmas: {key[0]}, column {key[1]}"
            made[key] = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
            for name in ("counts", "n", "", "bias", "width", "sigma", "68 %", "95 %", "D", "p"):
                made[key].add_column(name, justify="right" if name else "left")
        low, high = row["counts"]
        for f in row["figures"]:
            made[key].add_row(
                f"{low:g}-{high:g}",
                f"{f['n']}",
                f["coordinate"],
                f"{f['bias']:+.3f}",
                f"{f['width']:.3f}",
                f"{f['sigma']:.3f}",
                f"{f['inside_68']:.1%}",
                f"{f['inside_95']:.1%}",
                f"{f['uneven']:.3f}",
                f"{f['p']:.3f}",
            )
    return list(made.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and write what was found."""
    parser = argparse.ArgumentParser(description="Hold the X-ray density network to the truth.")
    parser.add_argument("responses", type=Path)
    parser.add_argument("--unseen", default="12845", help="the response left out of the training")
    parser.add_argument("--size", type=int, default=6000, help="clusters of each kind")
    parser.add_argument("--graph", type=Path, default=GRAPH, help="default: the one shipped")
    parser.add_argument("--rim", type=Path, default=RIM, help="default: the one shipped")
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--as-trained", action="store_true", help="draw clusters as the training")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--card", action="store_true", help="write the figures on the card")
    given = parser.parse_args(arguments)
    network, rim = XrayNetwork(graph=given.graph), Rim(weights=given.rim)
    ranges = None if given.as_trained else TESTED
    shard = draw_tests(
        rim, given.responses, given.unseen, given.size, seed=given.seed, ranges=ranges
    )
    rows = compare(network, shard, ranges=ranges)
    console = Console(width=120)
    for table in tables(rows):
        console.print(table)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if given.card:
        measured = {"clusters": len(shard.counts), "seed": given.seed, "rows": rows}
        save_card(given.graph, replace(network.card, measured=measured))


if __name__ == "__main__":
    main()
