"""Integrated posteriors beside nested sampling of all parameters.

Simulated spectra as in `calibration.py`, priors flat in everything. `--bayes` integrates velocity
and broadening, amplitudes and continuum analytically; dynesty draws velocity, broadening, all
amplitudes and the continuum. Differences of means are in standard deviations, of these relative,
of the evidence in its logarithm, and each stands beside dynesty's own error: its run drawn again
from its threads of live points (Higson et al. 2018, arXiv:1704.03459).

    python -m streamfit.tools.compare_nested --spectra 50
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import dynesty
import numpy as np
from dynesty.utils import resample_run
from numpy.typing import NDArray

from ..io.records import BatchKey, SpectralBatch
from ..kernels.full_posterior import FullPosterior
from ..kernels.posterior import Posterior
from ..stream.config import OpticalConfig
from ..stream.explore import WatchedRows
from ..stream.optical import OpticalRecipe
from ..stream.reduced_fitter import ReducedFitter
from .calibration import Population, draw, sn3_header

Array = NDArray[np.float64]

_CORR = 1.04
_AGAIN = 25  # runs drawn from one
_NAMES = ("velocity", "broadening")


class Beside(NamedTuple):
    """What both say of one spectrum, first axis velocity and broadening.

    Parameters
    ----------
    own, theirs : ndarray, shape (2, 2)
        Mean and standard deviation.
    error : ndarray, shape (2, 2)
        Of `theirs`.
    evidence : ndarray, shape (3,)
        Ours, dynesty's, and its error.
    evaluations : tuple of int
        Ours and dynesty's.
    """

    own: Array
    theirs: Array
    error: Array
    evidence: Array
    evaluations: tuple[int, int]


class CountedRows(WatchedRows):
    """Posteriors of one spectrum that say how often the density was evaluated."""

    evaluations = 0

    def numbers(self, found: Posterior, rows: NDArray[np.int64]) -> Array:
        """Keep the evaluations."""
        self.evaluations = int(found.evaluations[0])
        return super().numbers(found, rows)


def sample(full: FullPosterior, live: int, seed: int) -> tuple[Array, Array, Array, int]:
    """Sample nested: moments, their errors, ln evidence and its error, evaluations."""
    sampler_of: Any = dynesty.NestedSampler
    rng = np.random.default_rng(seed)
    sampler = sampler_of(
        full.log_likelihood,
        full.transform,
        full.dimensions,
        nlive=live,
        sample="rwalk",
        bootstrap=0,
        rstate=rng,
    )
    sampler.run_nested(print_progress=False, dlogz=0.05)
    found: Any = sampler.results
    again: Any = [resample_run(found, rstate=rng) for _ in range(_AGAIN)]
    error = np.std([_moments(run) for run in again], axis=0)
    own = float(np.std([run.logz[-1] for run in again]))
    evidence = np.array([full.log_evidence(float(found.logz[-1])), own])
    return _moments(found), error, evidence, int(np.sum(found.ncall))


def _moments(found: Any) -> Array:
    """Mean and standard deviation of velocity and of broadening."""
    weight = np.exp(found.logwt - found.logz[-1])
    weight /= weight.sum()
    points = np.asarray(found.samples)[:, :2]
    mean = weight @ points
    return np.stack([mean, np.sqrt(weight @ np.square(points - mean))], axis=1)


def measure(count: int, snr: tuple[float, float], seed: int, live: int) -> list[Beside]:
    """Integrate and sample the posteriors of simulated spectra."""
    config = OpticalConfig(
        velocity_range=(-500.0, 500.0),
        broadening_range=(1.0, 200.0),
        noise="band",
        bayes=True,
        prior="flat",
        no_mdn=True,
    )
    header = sn3_header()
    recipe = OpticalRecipe(header, config)
    engine = recipe.fitter.engine if isinstance(recipe.fitter, ReducedFitter) else None
    rows = CountedRows(recipe.model, header.unit, engine, config)
    recipe.posterior = rows
    truth, model = draw(recipe, count, Population(snr), seed), recipe.model
    found = []
    for s in range(count):
        index = np.zeros(1, dtype=np.int32)
        key = BatchKey("nested", s, s + 1)
        data = truth.data[s : s + 1]
        row = recipe.fit(SpectralBatch(key, index, index, data, np.full(1, _CORR))).to_pylist()[0]
        assert rows.spectrum is not None
        full = FullPosterior.of(rows.spectrum, model.emission, model.continuum, model.bounds)
        theirs, error, evidence, calls = sample(full, live, seed + s)
        own = np.array([[row[f"post_{name}{end}"] for end in ("", "_sigma")] for name in _NAMES])
        evidence = np.array([row["log_evidence"], *evidence])
        found.append(Beside(own, theirs, error, evidence, (rows.evaluations, calls)))
        numbers = np.concatenate([own.ravel(), theirs.ravel(), error.ravel(), evidence])
        print(s, f"{truth.snr[s]:.1f}", *np.round(numbers, 4), flush=True, file=sys.stderr)
    return found


def describe(found: Sequence[Beside]) -> str:
    """Write how many agree, the worst, and dynesty's own errors."""
    own, theirs, error = (np.stack([one[k] for one in found]) for k in range(3))
    sigma, lines = theirs[:, :, 1], []
    away = np.abs(own[:, :, 0] - theirs[:, :, 0]) / sigma
    wide = np.abs(own[:, :, 1] / sigma - 1)
    for p, name in enumerate(_NAMES):
        lines.append(
            f"{name}: means within 0.05 sigma {np.mean(away[:, p] < 0.05):.0%}, rms "
            f"{_rms(away[:, p]):.3f}, worst {away[:, p].max():.3f}, dynesty's own error "
            f"{_rms(error[:, p, 0] / sigma[:, p]):.3f}; sigmas within 5 % "
            f"{np.mean(wide[:, p] < 0.05):.0%}, rms {_rms(wide[:, p]):.3f}, worst "
            f"{wide[:, p].max():.3f}, own error {_rms(error[:, p, 1] / sigma[:, p]):.3f}"
        )
    pulls = (own - theirs) / error
    worst = np.abs(pulls).max()
    lines.append(f"differences over dynesty's errors: rms {_rms(pulls):.2f}, worst {worst:.1f}")
    ours, other, doubt = np.stack([one.evidence for one in found]).T
    apart = ours - other
    lines.append(
        f"ln evidence: {apart.mean():+.3f} on average, rms {_rms(apart):.3f}, worst "
        f"{np.abs(apart).max():.3f}, dynesty's own error {_rms(doubt):.3f}; within three of its "
        f"errors {np.mean(np.abs(apart) < 3 * doubt):.0%}"
    )
    calls = np.array([one.evaluations for one in found])
    lines.append(f"evaluations: {calls[:, 0].mean():.0f}, dynesty {calls[:, 1].mean():.0f}")
    return "\n".join(lines)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description="integrated posteriors beside nested sampling")
    parser.add_argument("--spectra", type=int, default=50)
    parser.add_argument("--snr", type=float, nargs=2, default=(3.0, 100.0))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--live", type=int, default=500)
    chosen = parser.parse_args(argv)
    print(describe(measure(chosen.spectra, tuple(chosen.snr), chosen.seed, chosen.live)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
