"""Posteriors in more than two nonlinear parameters, by adaptive importance sampling.

The density is that of `posterior.py`, amplitudes and continuum integrated, in any number of
velocities and broadenings: several kinematic groups, several components. It is sampled from
Student t distributions of five degrees of freedom, cut at the bounds. The first stand about the
minima of the fit with its covariance (Laplace's approximation); the draws of each stage, weighed,
give those of the next their means and covariances (Cornuet, Marin, Mira & Robert 2012, Scand. J.
Stat. 39, 798). A weight is the density over that of all proposals together, so a draw counts the
same whichever stage made it. The largest weights are smoothed, and their tail says by k-hat whether
to trust the result (`psis.py`); spectra where it is not are sampled again, longer.

The evidence is the mean weight. The density does not change where components of a group change
places, so proposals are averaged over all orders, and each draw is given the order in which it is
nearest to the fit: the marginal of a component is that of what is nearest to the component fitted.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from . import psis
from .target import Spectra, Target

Array = NDArray[np.float64]

STAGES: Final = (128, 128, 384)
"""Draws of each stage."""

LONGER: Final = (384, 384, 384, 768)
"""The same, of spectra whose first k-hat is not to be trusted."""

_FREEDOM = 5.0  # of the Student t: tails heavier than those of a likelihood
_WIDER = 1.15  # times the standard deviations of the draws: too narrow costs more than too wide
_BLOCK = 32  # spectra whose draws are in memory at once
_SHARES = (0.15865525393145707, 0.5, 0.8413447460685429)
_LOOSEST = 100.0  # of a velocity: greatest standard deviation of the first proposals [km/s]
_FEWEST = 3.0  # effective draws for each parameter that move a proposal


@dataclass(frozen=True, slots=True)
class Sampled:
    """Posteriors of a batch; NaN where there is none.

    `kinematics`, shape (spaxel, parameter, 5), has mean, standard deviation and the quantiles 16,
    50 and 84 % of velocities and broadenings, alternating [km/s].
    """

    kinematics: Array
    flux: Array  # (spaxel, line), mean, over wavelength
    flux_sigma: Array  # (spaxel, line)
    log_evidence: Array  # (spaxel,), over that of the continuum alone
    k_hat: Array  # (spaxel,)
    effective: Array  # (spaxel,), draws

    def put(self, rows: NDArray[np.integer] | slice, part: "Sampled") -> None:
        """Take over the spaxels of `part` at `rows`."""
        for name in self.__slots__:
            getattr(self, name)[rows] = getattr(part, name)


def unknown(spaxels: int, target: Target) -> Sampled:
    """Give posteriors that are not known yet."""
    lines = len(target.emission.names)
    return Sampled(
        np.full((spaxels, 2 * target.emission.groups, 5), np.nan),
        *(np.full((spaxels, lines), np.nan) for _ in range(2)),
        *(np.full(spaxels, np.nan) for _ in range(3)),
    )


def sample(
    target: Target, spectra: Spectra, centre: Array, covariance: Array, keys: NDArray[np.uint64]
) -> Sampled:
    """Sample the posterior of every spectrum of a batch.

    Parameters
    ----------
    target : Target
    spectra : Spectra
    centre : ndarray, shape (spaxel, mode, parameter)
        Velocities and broadenings of the minima, the best one first; NaN where there is none.
    covariance : ndarray, shape (spaxel, mode, parameter, parameter)
        Of each minimum.
    keys : ndarray of uint64, shape (spaxel, 2)
        Of each spectrum's own stream of random numbers.

    Returns
    -------
    Sampled
    """
    out = unknown(len(centre), target)
    rows = np.flatnonzero(np.isfinite(centre[:, 0]).all(axis=1))
    for stages in (STAGES, LONGER):
        for first in range(0, rows.size, _BLOCK):
            part = rows[first : first + _BLOCK]
            own = centre[part], covariance[part], keys[part]
            out.put(part, _Sampler(target, spectra.part(part), *own, stages).run())
        rows = rows[out.k_hat[rows] > psis.TRUSTED]
    return out


class _Sampler:
    """The stages of a block of spectra; phi are the parameters that are free."""

    def __init__(
        self,
        target: Target,
        spectra: Spectra,
        centre: Array,
        covariance: Array,
        keys: NDArray[np.uint64],
        stages: tuple[int, ...],
    ) -> None:
        self.target, self.spectra, self.free = target, spectra, target.free
        self.stages = stages
        self.wide = self.free % 2 == 1
        self.orders, self.line_orders = target.orders(), target.line_orders()
        self.fixed = np.nan_to_num(centre[:, 0], nan=1.0)
        self.proposals = [self._first(centre, covariance)]
        shape = len(centre), sum(stages), self.free.size
        self.normal, self.chi2 = np.empty(shape), np.empty(shape[:2])
        self.uniform = np.empty(shape[:2])
        for s, key in enumerate(keys):
            stream = Generator(Philox(key=key))
            stream.standard_normal(out=self.normal[s])
            self.chi2[s] = stream.chisquare(_FREEDOM, shape[1]) / _FREEDOM
            self.uniform[s] = stream.random(shape[1])

    def _first(self, centre: Array, covariance: Array) -> tuple[Array, Array, Array]:
        """Laplace's approximation: weights, means and factors of each mode."""
        there = np.isfinite(centre).all(axis=2)
        there &= np.isfinite(np.einsum("smpp->smp", covariance)[:, :, self.free]).all(axis=2)
        known = np.where(there[:, :, None], centre, centre[:, :1])
        mean = known[:, :, self.free].copy()
        spread = covariance[:, :, self.free[:, None], self.free]
        spread = np.where(there[:, :, None, None], spread, np.eye(self.free.size))
        sigma = np.sqrt(np.einsum("smpp->smp", spread))
        # A line narrower than its error: what the data tell is b^2, to 2 b sigma.
        least = np.where(self.wide, np.sqrt(2.0 * np.abs(mean) * sigma), _LOOSEST)
        scale = np.minimum(1.0, least / sigma)
        mean = np.where(self.wide & (scale < 1.0), np.maximum(mean, 0.5 * least), mean)
        spread = spread * scale[:, :, :, None] * scale[:, :, None, :]
        weight = np.where(there, 1.0, 0.0)
        weight[:, 0] = np.maximum(weight[:, 0], 1e-3)
        return weight / weight.sum(axis=1, keepdims=True), mean, _factor(_WIDER**2 * spread)

    def run(self) -> Sampled:
        """Draw, weigh, adapt; summarise."""
        phi = np.empty((*self.uniform.shape, self.free.size))
        value = np.empty(self.uniform.shape)
        lines = len(self.target.emission.names)
        flux, variance = (np.empty((*self.uniform.shape, lines)) for _ in range(2))
        first, log_weight = 0, value
        for stage, count in enumerate(self.stages):
            new = slice(first, first + count)
            phi[:, new] = self._draw(stage, new)
            theta = self._theta(phi[:, new])
            value[:, new], flux[:, new], variance[:, new] = self.target.evaluate(
                self.spectra, theta
            )
            first += count
            log_weight = value[:, :first] - self._log_proposal(phi[:, :first], stage)
            if stage < len(self.stages) - 1:
                self.proposals.append(self._adapted(phi[:, :first], log_weight))
        return self._summary(phi, log_weight, flux, variance)

    def _draw(self, stage: int, new: slice) -> Array:
        """Draw from one proposal."""
        weight, mean, lower = self.proposals[stage]
        mode = (self.uniform[:, new, None] > np.cumsum(weight, axis=1)[:, None, :-1]).sum(axis=2)
        rows = np.arange(len(mode))[:, None]
        own = self.normal[:, new] / np.sqrt(self.chi2[:, new, None])
        return mean[rows, mode] + np.einsum("snpq,snq->snp", lower[rows, mode], own)

    def _theta(self, phi: Array) -> Array:
        """Velocities and broadenings of draws, what is not free held."""
        theta = np.repeat(self.fixed[:, None, :], phi.shape[1], axis=1)
        theta[:, :, self.free] = phi
        return theta

    def _log_proposal(self, phi: Array, stage: int) -> Array:
        """Log density of all proposals so far, averaged over the orders of components."""
        size, terms = self.free.size, []
        counts = np.array(self.stages[: stage + 1], dtype=np.float64)
        norm = gammaln(0.5 * (_FREEDOM + size)) - gammaln(0.5 * _FREEDOM)
        norm -= 0.5 * size * np.log(_FREEDOM * np.pi)
        for proposal, share in zip(self.proposals, counts / counts.sum(), strict=True):
            for mode in range(proposal[0].shape[1]):
                weight, mean, lower = (values[:, mode] for values in proposal)
                with np.errstate(divide="ignore"):
                    level = norm + np.log(share / len(self.orders) * weight)
                level = level - np.log(np.einsum("spp->sp", lower)).sum(axis=1)
                for order in self.orders:
                    square = _square(phi[:, :, order], mean, lower)
                    tail = -0.5 * (_FREEDOM + size) * np.log1p(square / _FREEDOM)
                    terms.append(level[:, None] + tail)
        return np.asarray(logsumexp(terms, axis=0))

    def _nearest(self, phi: Array) -> tuple[Array, NDArray[np.int64]]:
        """Give each draw the order of components nearest to the first mode; and that order."""
        mean, lower = self.proposals[0][1][:, 0], self.proposals[0][2][:, 0]
        if len(self.orders) == 1:
            return phi, np.zeros(phi.shape[:2], dtype=np.int64)
        squares = np.stack([_square(phi[:, :, order], mean, lower) for order in self.orders])
        best = squares.argmin(axis=0)
        return np.take_along_axis(phi, self.orders[best], axis=2), best

    def _adapted(self, phi: Array, log_weight: Array) -> tuple[Array, Array, Array]:
        """Means and covariances of the draws nearest to each mode."""
        weights, means, lowers = (values.copy() for values in self.proposals[-1])
        own, _ = self._nearest(phi)
        weight = np.exp(psis.smooth(log_weight)[0])
        weight = np.where(np.isfinite(weight), weight, 0.0)
        squares = np.stack(
            [_square(own, means[:, m], lowers[:, m]) for m in range(means.shape[1])], axis=2
        )
        absent = weights[:, None, :] == 0.0
        nearest = np.where(absent, np.inf, squares).argmin(axis=2)
        for m in range(means.shape[1]):
            part = np.where(nearest == m, weight, 0.0)
            total = part.sum(axis=1)
            effective = np.square(total) / np.maximum(np.square(part).sum(axis=1), 1e-300)
            enough = effective > _FEWEST * self.free.size
            share = part / np.maximum(total, 1e-300)[:, None]
            mean = np.einsum("sn,snp->sp", share, own)
            away = own - mean[:, None]
            spread = np.einsum("sn,snp,snq->spq", share, away, away)
            lower = _factor(_WIDER**2 * spread)
            means[:, m] = np.where(enough[:, None], mean, means[:, m])
            lowers[:, m] = np.where(enough[:, None, None], lower, lowers[:, m])
            weights[:, m] = np.where(enough, total, weights[:, m] * 0.1)
        return weights / weights.sum(axis=1, keepdims=True), means, lowers

    def _summary(self, phi: Array, log_weight: Array, flux: Array, variance: Array) -> Sampled:
        out = unknown(len(phi), self.target)
        smoothed, k_hat = psis.smooth(log_weight)
        weight = np.exp(smoothed)
        own, order = self._nearest(phi)
        flux, variance = (self._lines(values, order) for values in (flux, variance))
        count = log_weight.shape[1]
        out.put(
            slice(None),
            Sampled(
                summarised(self._theta(own), weight),
                np.einsum("sn,snl->sl", weight, flux),
                _deviation(weight, flux, variance),
                logsumexp(log_weight, axis=1) - np.log(count),
                k_hat,
                psis.effective_draws(smoothed),
            ),
        )
        return out

    def _lines(self, values: Array, order: NDArray[np.int64]) -> Array:
        """Put what belongs to lines into the order that each draw was given."""
        return np.take_along_axis(values, self.line_orders[order], axis=2)


def summarised(theta: Array, weight: Array) -> Array:
    """Mean, standard deviation and quantiles of weighed draws.

    Parameters
    ----------
    theta : ndarray, shape (spaxel, draw, parameter)
    weight : ndarray, shape (spaxel, draw)
        Of sum one.

    Returns
    -------
    ndarray, shape (spaxel, parameter, 5)
    """
    mean = np.einsum("sn,snp->sp", weight, theta)
    sigma = np.sqrt(np.einsum("sn,snp->sp", weight, np.square(theta - mean[:, None])))
    order = np.argsort(theta, axis=1)
    values = np.take_along_axis(theta, order, axis=1)
    own = np.take_along_axis(np.broadcast_to(weight[:, :, None], theta.shape), order, axis=1)
    below = np.cumsum(own, axis=1) - 0.5 * own
    out = np.empty((*mean.shape, 5))
    out[:, :, 0], out[:, :, 1] = mean, sigma
    for s, p in np.ndindex(*mean.shape):
        out[s, p, 2:] = np.interp(_SHARES, below[s, :, p], values[s, :, p])
    return out


def _deviation(weight: Array, flux: Array, variance: Array) -> Array:
    """Give the standard deviation: the mean of variances and the variance of means."""
    mean = np.einsum("sn,snl->sl", weight, flux)
    square = np.einsum("sn,snl->sl", weight, variance + np.square(flux - mean[:, None]))
    return np.sqrt(square)


def _square(phi: Array, mean: Array, lower: Array) -> Array:
    """Squared distance of draws in standard deviations, shape (spaxel, draw)."""
    away = np.moveaxis(phi - mean[:, None], 1, 2)
    return np.square(np.linalg.solve(lower, away)).sum(axis=1)


def _factor(spread: Array) -> Array:
    """Cholesky factors of covariances, mended where rounding left one not positive."""
    sigma = np.sqrt(np.maximum(np.einsum("...pp->...p", spread), 1e-12))
    scaled = spread / (sigma[..., :, None] * sigma[..., None, :])
    scaled = np.where(np.isfinite(scaled), scaled, 0.0)
    value, vector = np.linalg.eigh(0.5 * (scaled + np.swapaxes(scaled, -1, -2)))
    value = np.maximum(value, 1e-6)
    mended = (vector * value[..., None, :]) @ np.swapaxes(vector, -1, -2)
    return sigma[..., :, None] * np.linalg.cholesky(mended)
