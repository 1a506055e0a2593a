"""Integrated posteriors beside nested sampling of all parameters.

Simulated spectra as in `calibration.py`, priors flat in everything. `--bayes` integrates velocity
and broadening, amplitudes and continuum analytically; dynesty draws velocity, broadening, all
amplitudes and the continuum. Differences of means are in standard deviations, of these relative,
of the evidence in its logarithm, and each stands beside dynesty's own error: its run drawn again
from its threads of live points (Higson et al. 2018, arXiv:1704.03459).

    python -m streamfit.tools.compare_nested --spectra 50
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from dynesty.utils import resample_run
from numpy.typing import NDArray

from ..kernels import nested_sampling
from ..kernels.full_posterior import FullPosterior
from .single_spectra import compare, fit_singly

Array = NDArray[np.float64]

_AGAIN = 25  # runs drawn from one
_WALKS = 60  # steps of a walk: with dynesty's 28 the draws are not quite independent
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


def sample(full: FullPosterior, live: int, seed: int) -> tuple[Array, Array, Array, int]:
    """Sample nested: moments, their errors, ln evidence and its error, evaluations."""
    rng = np.random.default_rng(seed)
    how = {"live": live, "remain": 0.05, "sample": "rwalk", "walks": _WALKS}
    nested = nested_sampling.run(full.log_likelihood, full.transform, full.dimensions, rng, **how)
    found = nested.results
    again: Any = [resample_run(found, rstate=rng) for _ in range(_AGAIN)]
    error = np.std([_moments(run) for run in again], axis=0)
    own = float(np.std([run.logz[-1] for run in again]))
    evidence = np.array([full.log_evidence(nested.log_evidence), own])
    return _moments(found), error, evidence, nested.evaluations


def _moments(found: Any) -> Array:
    """Mean and standard deviation of velocity and of broadening."""
    weight = np.exp(found.logwt - found.logz[-1])
    weight /= weight.sum()
    points = np.asarray(found.samples)[:, :2]
    mean = weight @ points
    return np.stack([mean, np.sqrt(weight @ np.square(points - mean))], axis=1)


def measure(count: int, snr: tuple[float, float], seed: int, live: int) -> list[Beside]:
    """Integrate and sample the posteriors of simulated spectra."""
    found = []
    for s, one in enumerate(fit_singly(count, snr, seed, prior="flat", no_mdn=True)):
        row = one.row
        theirs, error, evidence, calls = sample(one.full, live, seed + s)
        own = np.array([[row[f"post_{name}{end}"] for end in ("", "_sigma")] for name in _NAMES])
        evidence = np.array([row["log_evidence"], *evidence])
        found.append(Beside(own, theirs, error, evidence, (one.rows.evaluations, calls)))
        numbers = np.concatenate([own.ravel(), theirs.ravel(), error.ravel(), evidence])
        print(s, f"{one.snr:.1f}", *np.round(numbers, 4), flush=True, file=sys.stderr)
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
    text = "integrated posteriors beside nested sampling"
    return compare(measure, describe, argv, description=text, spectra=50)


if __name__ == "__main__":
    sys.exit(main())
