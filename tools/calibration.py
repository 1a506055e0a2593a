"""How often posteriors cover the truth: simulation-based calibration of the whole optical recipe.

Truths are drawn from the flat prior of velocity and broadening, amplitudes as emission lines have
them, or with ``--amplitudes flat`` evenly between plus and minus the highest SNR, or with
``gaussian`` from a normal distribution about as wide as the unit information prior, which the
posterior then has instead; each spectrum is fitted and its posterior integrated as a run does it,
the noise measured too.
The rank of a truth is its place in the cumulative posterior:
if the posterior is right, ranks are uniform, and the central 68.27 and 95 % intervals cover as
often as they say (Talts et al. 2018, arXiv:1804.06788). That holds for truths of the prior alone:
lines that all emit are no draws from a prior of either sign. A flat prior has no end but its draws
have one, so with ``--amplitudes flat`` spectra are left out, by their data alone, whose posterior
reaches it. The network's prior follows from the spectrum itself, so no truth can be drawn from it
beforehand: with ``--lent`` each spectrum has the widened density of another one, and its truth is
drawn from that.

    python -m streamfit.tools.calibration --spectra 100000 --prior mdn --prior-width 10
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import chisquare

from ..io.records import BatchKey, CubeHeader, FtsAxis, SpectralBatch
from ..kernels import ils, posterior
from ..kernels.mixture import Mixture
from ..kernels.varpro import Bounds
from ..stream.config import OpticalConfig
from ..stream.densities import Density
from ..stream.optical import OpticalRecipe
from ..stream.posterior_rows import Informed, PosteriorRows
from ..stream.reduced_fitter import ReducedFitter

Array = NDArray[np.float64]

_BINS = 20  # of ranks
_BATCH = 4096
CORR = 1.04  # of every spectrum: one place in SITELLE's field
_BAND = (1e7 / 685.0, 1e7 / 647.7)  # SN3 [cm-1]
_DRAWS = 64  # of a mixture, of which one should lie between the bounds
_OTHER = 1 << 40  # added to the seed of spectra whose priors are lent
_SCALE = 20.0  # of normal amplitudes, in the noise of a channel
_WITHIN = 4.0  # standard deviations from the end of the amplitudes' range
_ESTIMATES = {
    "likeliest": "maximum likelihood",
    "velocity": "fit",
    "post_velocity": "posterior mean",
    "post_velocity_q50": "median",
}


@dataclass(frozen=True, slots=True)
class Truth:
    """Spectra of noise one and what they were made of; first axis spaxel."""

    velocity: Array  # [km/s]
    broadening: Array  # [km/s]
    amplitude: Array  # (spaxel, line)
    data: NDArray[np.float32]  # (spaxel, channel)

    @property
    def snr(self) -> Array:
        """Peak of the brightest line over the noise."""
        return self.amplitude.max(axis=1)


def sn3_header() -> CubeHeader:
    """Describe a SITELLE cube in SN3, large enough for the reduced basis."""
    axis = FtsAxis(
        channels=842,
        step_nm=2943.0,
        order=8,
        step_nb=842,
        zpd_index=168,
        axis_corr=1.0375,
        calibrated=True,
    )
    return CubeHeader(
        name="calibration",
        layout="simulated",
        shape=(2048, 2064),
        axis=axis,
        unit="",
        filter_name="SN3",
        band=_BAND,
    )


@dataclass(frozen=True, slots=True)
class Population:
    """What amplitudes are drawn from.

    Parameters
    ----------
    snr : (low, high)
        Of Halpha, log-uniform; the other lines are 0.1 to 1.2 times as bright.
    kind : {"lines", "flat", "gaussian"}
        That, or each evenly between plus and minus the highest SNR, or each normal.
    """

    snr: tuple[float, float]
    kind: str = "lines"

    def columns(self, rng: np.random.Generator, recipe: OpticalRecipe, count: int) -> Array:
        """Draw the amplitudes of the line columns, shape (spaxel, column)."""
        emission = recipe.model.emission
        if self.kind == "gaussian":
            return _SCALE * rng.standard_normal((count, emission.columns))
        if self.kind == "flat":
            return rng.uniform(-self.snr[1], self.snr[1], (count, emission.columns))
        bright = np.exp(rng.uniform(np.log(self.snr[0]), np.log(self.snr[1]), count))
        column = bright[:, None] * np.exp(
            rng.uniform(np.log(0.1), np.log(1.2), (count, emission.columns))
        )
        column[:, emission.column[emission.names.index("Halpha")]] = bright
        return column


def draw(
    recipe: OpticalRecipe,
    count: int,
    population: Population,
    seed: int,
    lent: Informed | None = None,
) -> Truth:
    """Draw truths from the prior and make their spectra.

    Parameters
    ----------
    recipe : OpticalRecipe
        Whose lines and ranges they have.
    count : int
    population : Population
    seed : int
    lent : Informed, optional
        Priors of velocity and broadening; flat without them, or where they know nothing.
    """
    rng, model = np.random.default_rng(seed), recipe.model
    v = rng.uniform(*model.bounds.velocity, size=count)
    b = rng.uniform(*model.bounds.broadening, size=count)
    if lent is not None:
        drawn, inside = _inside(lent.mixture, model.bounds, rng)
        known = lent.known & inside
        v[known], b[known] = drawn[known].T
    emission = model.emission
    width = np.repeat(CORR * model.width[None], count, axis=0)
    column = population.columns(rng, recipe, count)
    amplitude = column[:, emission.column] * emission.shares(v[:, None], b[:, None], width)
    centre, sigma = emission.centres(v[:, None]), emission.sigmas(v[:, None], b[:, None])
    x = model.coordinate
    data = np.where((x > _BAND[0]) & (x < _BAND[1]), 3.0, 0.0) + rng.standard_normal(
        (count, x.size)
    )
    for k in range(len(emission.names)):
        for part in np.array_split(np.arange(count), max(1, count // 512)):
            offset = x - centre[part, k, None]
            shape = ils.sincgauss(offset, sigma[part, k, None], width[part, k, None])
            data[part] += amplitude[part, k, None] * shape
    return Truth(v, b, amplitude, data.astype(np.float32))


def _inside(
    mixture: Mixture, bounds: Bounds, rng: np.random.Generator
) -> tuple[Array, NDArray[np.bool_]]:
    """Draw one point of each mixture between the bounds; whether one of many was."""
    points = mixture.draw(_DRAWS, rng)
    low, high = np.array([bounds.velocity, bounds.broadening]).T
    good = ((points > low) & (points < high)).all(axis=2)
    first = np.argmax(good, axis=1)
    return points[np.arange(len(points)), first], good.any(axis=1)


class RankedRows(PosteriorRows):
    """Posteriors that also say where the truth lies in them."""

    truth: Array  # (spaxel, 2 + line), of the batch
    ranks: Array  # the same shape
    gaussian = False
    lent: Informed | None = None  # priors of the batch
    seen: Informed | None = None  # what the network said of the last one

    def from_network(self, density: Density | None) -> Informed | None:
        """Keep what the network says, and give what was lent instead."""
        self.seen = super().from_network(density)
        return self.lent if self.lent is not None else self.seen

    def amplitudes(self, channels: int) -> posterior.Amplitudes:
        """Give a proper prior where truths are drawn from it."""
        own = super().amplitudes(channels)
        return replace(own, scale=_SCALE, gaussian=True) if self.gaussian else own

    def probe(self, rows: NDArray[np.int64]) -> Array:
        """Ask for the cumulative distributions at the truth."""
        return self.truth[rows]

    def numbers(self, found: posterior.Posterior, rows: NDArray[np.int64]) -> Array:
        """Keep the ranks."""
        self.ranks[rows] = found.below
        return super().numbers(found, rows)


def calibrate(
    config: OpticalConfig, count: int, population: Population, seed: int, *, lent: bool = False
) -> dict:
    """Fit and integrate spectra of known truth.

    Parameters
    ----------
    config : OpticalConfig
    count : int
    population : Population
    seed : int
    lent : bool
        Draw velocity and broadening from the network's widened density of a spectrum of lines, and
        take that for the prior of another.

    Returns
    -------
    dict
        ``within``, (spaxel,), whether the posterior keeps within what amplitudes are drawn from,
        ``ranks``, (spaxel, 2 + line), ``truth``, a `Truth` without data, ``table``, columns of the
        run by name and ``likeliest``, the velocity of the highest likelihood anywhere, which the
        fit has that starts from the scan instead of the network, and ``cpu``, microseconds per
        spectrum of fit and posterior.
    """
    header = sn3_header()
    recipe = OpticalRecipe(header, config)
    engine = recipe.fitter.engine if isinstance(recipe.fitter, ReducedFitter) else None
    rows = RankedRows(recipe.model, header.unit, engine, config)
    recipe.posterior = rows
    rows.gaussian = population.kind == "gaussian"
    alone = OpticalRecipe(header, replace(config, bayes=False, prior="flat", no_mdn=True))
    found: dict = {"within": [], "ranks": [], "truth": [], "table": [], "cpu": 0.0}
    for first in range(0, count, _BATCH):
        spaxels = min(_BATCH, count - first)
        rows.lent = _lend(recipe, rows, spaxels, population.snr, seed + first) if lent else None
        truth = draw(recipe, spaxels, population, seed + first, rows.lent)
        width = np.repeat(CORR * recipe.model.width[None], spaxels, axis=0)
        at = truth.velocity[:, None], truth.broadening[:, None]
        flux = truth.amplitude * recipe.model.emission.peak_fluxes(*at, width)
        rows.truth = np.concatenate([*at, flux], axis=1)
        rows.ranks = np.full(rows.truth.shape, np.nan)
        batch = _batch(truth)
        begun = time.process_time()
        table = recipe.fit(batch)
        if first > 0 or count <= _BATCH:  # the first batch compiles and builds tables
            found["cpu"] += time.process_time() - begun
        likeliest = (table if config.no_mdn else alone.fit(batch))["velocity"].to_numpy()
        found["within"].append(_within(recipe, table, population, width))
        found["ranks"].append(rows.ranks)
        found["truth"].append(replace(truth, data=np.zeros((spaxels, 0), np.float32)))
        columns = {name: table[name].to_numpy() for name in table.schema.names}
        found["table"].append(columns | {"likeliest": likeliest})
    timed = count - _BATCH if count > _BATCH else count
    truths, tables = found["truth"], found["table"]
    return {
        "within": np.concatenate(found["within"]),
        "ranks": np.concatenate(found["ranks"]),
        "truth": Truth(
            *(
                np.concatenate([getattr(one, name) for one in truths])
                for name in ("velocity", "broadening", "amplitude", "data")
            )
        ),
        "table": {name: np.concatenate([one[name] for one in tables]) for name in tables[0]},
        "cpu": 1e6 * found["cpu"] / timed,
    }


def _batch(truth: Truth) -> SpectralBatch:
    spaxels = len(truth.velocity)
    index = np.arange(spaxels, dtype=np.int32)
    key = BatchKey("calibration", 0, spaxels)
    return SpectralBatch(key, index, index, truth.data, np.full(spaxels, CORR), None, None)


def _lend(
    recipe: OpticalRecipe, rows: RankedRows, count: int, snr: tuple[float, float], seed: int
) -> Informed | None:
    """Give the network's widened densities of other spectra, of lines."""
    other = draw(recipe, count, Population(snr), seed + _OTHER)
    rows.lent = None
    rows.truth = np.full((count, 2 + len(recipe.model.emission.names)), np.nan)
    rows.ranks = rows.truth.copy()
    recipe.fit(_batch(other))
    return rows.seen


def _within(
    recipe: OpticalRecipe, table: pa.RecordBatch, population: Population, width: Array
) -> NDArray[np.bool_]:
    """Tell whose amplitudes are well inside the range of their draws, by the posterior alone."""
    if population.kind != "flat":
        return np.ones(len(width), dtype=bool)
    v, b = (table[f"post_{name}"].to_numpy()[:, None] for name in ("velocity", "broadening"))
    emission = recipe.model.emission
    unit = emission.peak_fluxes(v, b, width) * emission.shares(v, b, width)
    inside = np.ones(len(width), dtype=bool)
    for k, name in enumerate(emission.names):
        flux, sigma = (table[f"post_{name}_flux{end}"].to_numpy() for end in ("", "_sigma"))
        inside &= np.abs(flux) + _WITHIN * sigma < population.snr[1] * unit[:, k]
    return inside


def describe(found: dict, names: Sequence[str]) -> str:
    """Write coverage and uniformity of the ranks, and how the posterior mean compares."""
    lines = [f"{'':14}  68.27 %   95 %   chi2 p"]
    within = found["within"]
    ranks = found["ranks"][within]
    for name, rank in zip(("velocity", "broadening", *names), ranks.T, strict=True):
        away = np.abs(rank - 0.5)
        p = chisquare(np.histogram(rank, _BINS, (0, 1))[0]).pvalue
        narrow, wide = 100 * np.mean(away < 0.341345), 100 * np.mean(away < 0.475)
        lines.append(f"{name:14}  {narrow:6.2f}  {wide:6.2f}  {p:8.4f}")
    table, truth = found["table"], found["truth"]
    for low, high in ((3, 5), (5, 10), (10, 1000)):
        rows = (truth.snr >= low) & (truth.snr < high) & within
        if rows.any():
            errors = [
                f"{np.sqrt(np.nanmean(np.square(table[column] - truth.velocity)[rows])):.2f} {name}"
                for column, name in _ESTIMATES.items()
            ]
            lines.append(f"S/N {low}-{high}: rms error of velocity [km/s] {', '.join(errors)}")
    lines.append(f"{int(within.sum())} of {within.size} spectra")
    lines.append(f"{found['cpu']:.0f} us of CPU a spectrum, fit and posterior")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate and print."""
    parser = argparse.ArgumentParser(description="coverage and ranks of simulated posteriors")
    parser.add_argument("--spectra", type=int, default=100_000)
    parser.add_argument("--snr", type=float, nargs=2, default=(3.0, 100.0))
    parser.add_argument("--amplitudes", choices=("lines", "flat", "gaussian"), default="lines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prior", choices=("mdn", "flat"), default="mdn")
    parser.add_argument("--prior-width", type=float, default=10.0)
    parser.add_argument("--lent", action="store_true")
    parser.add_argument("--positive", action="store_true")
    parser.add_argument("--velocity-range", type=float, nargs=2, default=(-500.0, 500.0))
    parser.add_argument("--broadening-range", type=float, nargs=2, default=(1.0, 200.0))
    chosen = parser.parse_args(argv)
    config = OpticalConfig(
        velocity_range=tuple(chosen.velocity_range),
        broadening_range=tuple(chosen.broadening_range),
        noise="band",
        bayes=True,
        prior=chosen.prior,
        prior_width=chosen.prior_width,
        positive=chosen.positive,
        no_mdn=chosen.prior == "flat",
    )
    recipe = OpticalRecipe(sn3_header(), config)
    population = Population(tuple(chosen.snr), chosen.amplitudes)
    found = calibrate(config, chosen.spectra, population, chosen.seed, lent=chosen.lent)
    print(f"prior: {recipe.schema.metadata[b'prior'].decode()}")
    print(describe(found, recipe.model.emission.names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
