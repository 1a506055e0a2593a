"""Batched posteriors of velocity and broadening, amplitudes and continuum integrated exactly.

With white noise the model is linear in its amplitudes A and its continuum, so these integrate
analytically. With whitened rows F of the line columns, the continuum projected out of them and of
the spectrum y, and with c = F y, G = F F^T,

    ln p(y | v, b) = c G^-1 c / 2 - ln |G| / 2 - m ln s + const

for m amplitudes of a flat prior of density 1 / (sqrt(2 pi) s sigma), sigma the typical noise of a
channel. The constant is the probability of y without lines: the evidence is that of lines over
that of the continuum alone, whose own flat prior cancels. s = sqrt(channels) makes the prior's
information that of one channel (the unit information prior of Kass & Wasserman 1995, JASA 90, 928)
and only shifts the evidence, by -m ln s. With `gaussian` amplitudes have the prior
N(0, (s sigma)^2) instead; with `positive` none is negative, and the probability of that, a
Gaussian's in an orthant, multiplies the density: exact where line columns do not overlap, to second
order where they do.

What is left is integrated over (v, b) with the prior of both:

1. a coarse map, a cell about every node of a scan, from one matrix product for all spectra;
2. a lattice about the minimum of the fit, and about every other cell that may hold a large share of
   the mass or a sharp peak: climb to the top, measure its width by second differences, lay nodes
   1.15 standard deviations apart and walk, column by column, until the density has fallen by
   e^-8.5. The trapezoid rule converges exponentially; a lattice whose halves do not agree is laid
   closer, one that comes upon a bound of the prior starts its nodes there, and broadening, in which
   profiles are even, is mirrored at zero;
3. cells that no lattice has been to hold the rest: noise, in faint spectra. Those that matter to
   the mass, or by their distance to a variance, are integrated by a few points each.

Means, deviations and quantiles are those of the sum. Fluxes are Gaussian at each point: their
variance is the mean of the variances and the variance of the means. `outside` estimates the share
of the mass that lies beyond a lattice's rim or in cells too coarse for their peaks.

Points are evaluated on the reduced basis (`reduced.py`) where it holds, else on exact profiles.
About a bright mode three exact points take away what the basis errs by (`_posterior_tilt.py`). One
kinematic group only: with more, (v, b) is no longer a plane.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _posterior as columns
from ._posterior_batch import integrate_all
from .emission import Continuum, Emission
from .mixture import Mixture
from .posterior_map import PosteriorMap
from .reduced import ReducedEngine
from .varpro import Bounds, Geometry, packed

Array = NDArray[np.float64]

_BLOCK = 256  # spectra whose products with the map are in memory at once


class Marginal(NamedTuple):
    """What is known of one parameter, each of shape (spaxel,)."""

    mean: Array
    sigma: Array
    q16: Array
    q50: Array
    q84: Array


@dataclass(frozen=True, slots=True)
class Posterior:
    """Posteriors of a batch; NaN where there is no spectrum.

    `outside` is the share of the mass that the integration may have missed, `complete` is False
    where it says that it could not follow the density to its ends.
    """

    velocity: Marginal  # [km/s]
    broadening: Marginal  # [km/s]
    flux: Array  # (spaxel, line), mean, over wavelength
    flux_sigma: Array  # (spaxel, line)
    log_evidence: Array  # (spaxel,), over that of the continuum alone
    outside: Array  # (spaxel,)
    complete: NDArray[np.bool_]  # (spaxel,)
    evaluations: NDArray[np.int64]  # (spaxel,)
    modes: NDArray[np.int64]  # (spaxel,), lattices
    below: Array  # (spaxel, 2 + line), mass below the values asked for


@dataclass(frozen=True, slots=True)
class Amplitudes:
    """Prior of the amplitudes of the line columns, the same for all.

    Parameters
    ----------
    scale : float
        s of the module's docstring, in units of the noise of a channel.
    gaussian : bool
        N(0, scale^2), else flat of the density that this has at zero.
    positive : bool
        Negative amplitudes have no probability and the others twice as much.
    """

    scale: float
    gaussian: bool = False
    positive: bool = False


def integrate(
    data: NDArray[np.floating],
    weight: NDArray[np.floating],
    noise: Array,
    emission: Emission,
    continuum: Continuum,
    geometry: Geometry,
    *,
    start: Array,
    bounds: Bounds,
    coarse: PosteriorMap,
    prior: Mixture | None = None,
    amplitudes: Amplitudes | None = None,
    engine: ReducedEngine | None = None,
    probe: Array | None = None,
) -> Posterior:
    """Integrate the posterior of every spectrum of a batch.

    Parameters
    ----------
    data : ndarray, shape (spaxel, channel)
        Spectra; a value whose weight is zero may be NaN.
    weight : ndarray, shape (spaxel, channel) or (spaxel, 1)
        One over the standard deviation of each channel; zero leaves the channel out.
    noise : ndarray, shape (spaxel,)
        Typical standard deviation of a channel, the unit of the amplitudes' prior.
    emission, continuum : Emission, Continuum
        The model, of one kinematic group.
    geometry : Geometry
        Axis and line width of each spaxel.
    start : ndarray, shape (spaxel, 4)
        Velocity and broadening of the fit and their conditional standard deviations [km/s]; NaN
        where there is no fit.
    bounds : Bounds
        Range of the flat prior, where every prior ends.
    coarse : PosteriorMap
        Of the same model, on an axis and a width near those of the spaxels.
    prior : Mixture, optional
        Of velocity and broadening; flat without it. Its mass inside the bounds is taken as the
        product of the marginal ones.
    amplitudes : Amplitudes, optional
        Flat with the scale of one channel's information unless given.
    engine : ReducedEngine, optional
        Of the same model; used for spectra whose weights are even.
    probe : ndarray, shape (spaxel, 2 + line), optional
        Velocity, broadening and fluxes at which the cumulative distributions are wanted.

    Returns
    -------
    Posterior

    Raises
    ------
    ValueError
        If shapes disagree or the model has several kinematic groups.
    """
    spaxels, channels = data.shape
    lines = len(emission.names)
    if emission.groups != 1:
        raise ValueError(f"{emission.groups} kinematic groups; this integrates one")
    if start.shape != (spaxels, 4) or noise.shape != (spaxels,) or len(weight) != spaxels:
        raise ValueError(
            f"start {start.shape} and noise {noise.shape} are not of {spaxels} spaxels"
        )
    amplitudes = amplitudes or Amplitudes(float(np.sqrt(channels)))
    box = np.array([*bounds.velocity, max(bounds.broadening[0], 0.1), bounds.broadening[1]])
    rows, flat = _prior_rows(prior, box, spaxels)
    if probe is None:
        probe = np.full((spaxels, 2 + lines), np.nan)
    probe = np.concatenate([probe[:, :2], probe[:, 2:] / noise[:, None]], axis=1)
    scalars = np.full((spaxels, columns.SCALARS), np.nan)
    flux = np.full((spaxels, lines, 3), np.nan)
    even = weight.shape[1] == 1 or bool((weight == weight[:, :1]).all())
    how = (
        1.0 / amplitudes.scale**2 if amplitudes.gaussian else 0.0,
        float(np.log(amplitudes.scale)),
        float(amplitudes.positive),
    )
    for members, engine_arguments in _engines(engine if even else None, geometry, spaxels):
        for first in range(0, members.size, _BLOCK):
            part = members[first : first + _BLOCK]
            block = np.require(data[part], np.float32, "C")
            weights = np.require(weight[part], np.float64, "C")
            out = np.empty((part.size, columns.SCALARS)), np.empty((part.size, lines, 3))
            frame, tables, nodes = engine_arguments
            integrate_all(
                (
                    block,
                    weights,
                    noise[part],
                    np.ascontiguousarray(start[part]),
                    geometry.scale[part],
                    np.ascontiguousarray(geometry.width[part]),
                    rows[part],
                    flat[part],
                    np.ascontiguousarray(probe[part]),
                ),
                packed(emission),
                np.require(geometry.coordinate, np.float64, "C"),
                continuum.rows(geometry.coordinate),
                coarse.products(block, weights, noise[part], even=even, amplitudes=how),
                (frame, tables, nodes[part]),
                box,
                how,
                out,
            )
            scalars[part], flux[part] = out
    return _result(scalars, flux, emission)


def _result(scalars: Array, flux: Array, emission: Emission) -> Posterior:
    velocity = scalars[:, columns.MEAN_V : columns.HIGH_V + 1]
    broadening = scalars[:, columns.MEAN_B : columns.HIGH_B + 1]
    counts = np.nan_to_num(scalars)
    below = np.concatenate([scalars[:, columns.CDF_V : columns.CDF_B + 1], flux[:, :, 2]], axis=1)
    return Posterior(
        velocity=Marginal(*velocity.T),
        broadening=Marginal(*broadening.T),
        flux=flux[:, :, 0],
        flux_sigma=flux[:, :, 1],
        log_evidence=scalars[:, columns.EVIDENCE],
        outside=scalars[:, columns.OUTSIDE],
        complete=counts[:, columns.COMPLETE] > 0,
        evaluations=counts[:, columns.CALLS].astype(np.int64),
        modes=counts[:, columns.FOUND].astype(np.int64),
        below=below,
    )


def _prior_rows(prior: Mixture | None, box: Array, spaxels: int) -> tuple[Array, Array]:
    """Rows of `log_prior`, and the log of the flat density or of one over the mass in the box."""
    if prior is None:
        area = (box[1] - box[0]) * (box[3] - box[2])
        return np.zeros((spaxels, 6, 0)), np.full(spaxels, -np.log(area))
    (vv, vb), (_, bb) = np.moveaxis(prior.covariance, (2, 3), (0, 1))
    determinant = vv * bb - vb * vb
    with np.errstate(divide="ignore"):
        norm = np.log(prior.weights) - 0.5 * np.log(determinant) - np.log(2 * np.pi)
    rows = np.stack(
        [
            norm,
            prior.mean[:, :, 0],
            prior.mean[:, :, 1],
            bb / determinant,
            -vb / determinant,
            vv / determinant,
        ],
        axis=1,
    )
    inside = np.asarray(_mass_inside(prior, box), dtype=np.float64)
    return np.ascontiguousarray(rows, dtype=np.float64), -np.log(inside)


def _mass_inside(prior: Mixture, box: Array) -> Array:
    """Mass of a mixture between the bounds, component by component, correlation left out."""
    inside = np.zeros(len(prior))
    for k in range(prior.weights.shape[1]):
        one = Mixture(
            np.ones((len(prior), 1)), prior.mean[:, k : k + 1], prior.covariance[:, k : k + 1]
        )
        v_low, v_high, b_low, b_high = (np.full(len(prior), edge) for edge in box)
        velocity = one.velocity_cdf(v_high) - one.velocity_cdf(v_low)
        broadening = one.broadening_cdf(b_high) - one.broadening_cdf(b_low)
        inside += prior.weights[:, k] * velocity * broadening
    return np.maximum(inside, 1e-12)


def conditional_sigmas(covariance: Array) -> Array:
    """Give the standard deviations of v and b, each with the other held, shape (spaxel, 2).

    Parameters
    ----------
    covariance : ndarray, shape (spaxel, parameter, parameter)
        Of a fit of one kinematic group.
    """
    block = covariance[:, :2, :2]
    determinant = block[:, 0, 0] * block[:, 1, 1] - np.square(block[:, 0, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.stack([block[:, 1, 1], block[:, 0, 0]], axis=1) / determinant[:, None]
        return 1.0 / np.sqrt(inverse)


def _engines(
    engine: ReducedEngine | None, geometry: Geometry, spaxels: int
) -> Iterator[tuple[NDArray[np.int64], tuple]]:
    """Give the spaxels of each class of widths with the tables they share."""
    if engine is not None:
        yield from engine.classes(geometry)
        return
    whole, single = np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.float32)
    frame = (0.0, 1.0, 0.0, 1.0, 0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0)
    empty = np.zeros(1, dtype=bool)
    tables = single, single, whole, empty, single, whole, whole > 0, np.zeros(1, np.int64), 0, 1
    yield np.arange(spaxels), (frame, tables, np.full(spaxels, -1))
