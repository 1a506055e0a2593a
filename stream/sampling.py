"""Samplers of a full posterior, started the same way by the command and by measurements.

dynesty and emcee are no dependencies of a run; they are imported where they are asked for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.errors import InputError
from ..kernels import nested_sampling
from ..kernels.full_posterior import FullPosterior
from .extras import require

Array = NDArray[np.float64]

SAMPLERS = ("dynesty", "emcee")
LIVE = 500
_WALKERS = 8  # for each parameter
_STEPS = 1500


@dataclass(frozen=True, slots=True)
class Draws:
    """What a sampler gives.

    Parameters
    ----------
    points : ndarray, shape (draw, parameter)
        Of equal weight.
    log_likelihood : ndarray, shape (draw,)
    log_evidence, log_evidence_error : float
        Of lines over the continuum alone; NaN from emcee.
    evaluations : int
        Of the likelihood.
    effective : float
        Independent draws that these are worth.
    """

    points: Array
    log_likelihood: Array
    log_evidence: float
    log_evidence_error: float
    evaluations: int
    effective: float


def nested(full: FullPosterior, seed: int, *, live: int | None = None, dlogz: float = 0.1) -> Draws:
    """Sample by dynesty: static nested sampling, random walks inside multiple ellipsoids.

    Parameters
    ----------
    full : FullPosterior
    seed : int
    live : int, optional
        Live points, `LIVE` without it.
    dlogz : float
        Evidence that may be left.
    """
    require("dynesty", "explore")
    found = nested_sampling.run(
        full.log_likelihood,
        full.transform,
        full.dimensions,
        np.random.default_rng(seed),
        live=live or LIVE,
        remain=dlogz,
        sample="rwalk",
    )
    generator = np.random.default_rng([seed, 1])
    # Systematic resampling, so that a mode keeps its share to one draw.
    count = int(found.effective)
    steps = (np.arange(count) + generator.random()) / count
    rows = np.minimum(np.searchsorted(np.cumsum(found.weight), steps), found.weight.size - 1)
    return Draws(
        found.points[rows],
        found.log_likelihood[rows],
        full.log_evidence(found.log_evidence),
        found.log_evidence_error,
        found.evaluations,
        found.effective,
    )


def ensemble(full: FullPosterior, start: Array, seed: int, *, steps: int | None = None) -> Draws:
    """Sample by emcee: an ensemble that moves by differences of its own.

    Walkers find modes that some of them start in or near; a mode far from all starts is not found.

    Parameters
    ----------
    full : FullPosterior
    start : ndarray, shape (start, 2 group)
        Velocities and broadenings; walkers start at these in turn.
    seed : int
    steps : int, optional
        Of each walker, 1500 without it; the first third is left out.
    """
    steps = steps or _STEPS
    emcee = require("emcee", "explore")
    walkers = _WALKERS * full.dimensions
    generator = np.random.default_rng(seed)
    first = full.starts(start[np.arange(walkers) % len(start)], generator)

    def log_density(point: Array) -> float:
        prior = full.log_prior(point)
        return prior + full.log_likelihood(point) if np.isfinite(prior) else -np.inf

    sampler = emcee.EnsembleSampler(
        walkers,
        full.dimensions,
        log_density,
        moves=[(emcee.moves.StretchMove(), 0.5), (emcee.moves.DEMove(), 0.5)],
    )
    state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(emcee.State(first, random_state=state), steps)
    burnt = steps // 3
    chain = sampler.get_chain(discard=burnt)
    moved = (np.ptp(chain, axis=0) > 0).all(axis=1)  # a walker that never moved has no time
    if not moved.any():
        raise InputError("explore: no walker of emcee has moved; use --sampler dynesty")
    tau = float(np.max(emcee.autocorr.integrated_time(chain[:, moved], tol=0)))
    thin = max(1, int(tau) // 2)
    points = sampler.get_chain(discard=burnt, thin=thin, flat=True)
    kept = sampler.get_log_prob(discard=burnt, thin=thin, flat=True)
    levels = kept - np.array([full.log_prior(point) for point in points])
    return Draws(
        points,
        levels,
        float("nan"),
        float("nan"),
        walkers * (steps + 1),
        (steps - burnt) * walkers / max(tau, 1.0),
    )
