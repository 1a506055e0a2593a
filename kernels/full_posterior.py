"""The posterior of one spectrum over all its parameters: what a sampler is given.

Nothing is integrated analytically and nothing is approximated: velocity and broadening of each
group, an amplitude for each line column and the terms of the continuum, in that order, with

    ln L = - chi2 / 2.

Samplers in the unit cube get the priors as a transform: flat between bounds, or, where velocity and
broadening have a `Mixture`, that mixture between the bounds: velocity by its marginal distribution,
broadening by the one given velocity. Amplitudes are flat over a range that holds whatever the data
allow; the continuum is flat about its least squares. `log_evidence` turns the evidence of these
ranges into the one of `posterior.py`, lines over the continuum alone, whose amplitudes have a flat
prior of density 1 / (sqrt(2 pi n) noise).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ._rows import fill
from .emission import Continuum, Emission, profiles
from .mixture import Mixture
from .profile import BORROWING, GAUSSIAN, turns
from .varpro import Bounds, Geometry, packed

Array = NDArray[np.float64]

_AMPLITUDE = 3.0  # range of amplitudes over the highest deviation of the data from the continuum
_CONTINUUM = 12.0  # range of the continuum in standard deviations, beside the highest deviation
_LEAST = 0.1  # of a broadening [km/s]: at zero the profile is 0 / 0
_HALVINGS = 50


class Spectrum(NamedTuple):
    """One spectrum on its axis: `data`, `weight` (one over sigma) of shape (channel,), `noise`."""

    data: Array
    weight: Array
    noise: float
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class FullPosterior:
    """Likelihood and priors of one spectrum.

    Parameters
    ----------
    emission, continuum : Emission, Continuum
    low, high : ndarray, shape (parameter,)
        Where the priors end.
    prior : Mixture or None
        Of velocity and broadening of the only group, of one row; None for a flat one.
    shift : float
        To be added to the evidence, see `log_evidence`.
    space : tuple
        What the compiled likelihood takes.
    """

    emission: Emission
    continuum: Continuum
    low: Array
    high: Array
    prior: Mixture | None
    shift: float
    space: tuple

    @classmethod
    def of(
        cls,
        spectrum: Spectrum,
        emission: Emission,
        continuum: Continuum,
        bounds: Bounds,
        *,
        prior: Mixture | None = None,
        positive: bool = False,
    ) -> "FullPosterior":
        """Set up the posterior of one spectrum.

        Parameters
        ----------
        spectrum : Spectrum
            With one row of geometry; a value whose weight is zero may be NaN.
        emission, continuum : Emission, Continuum
        bounds : Bounds
        prior : Mixture, optional
            Of one row.
        positive : bool
            No amplitude is negative.

        Raises
        ------
        ValueError
            If a prior is given for several groups, or no channel has weight.
        """
        if prior is not None and emission.groups != 1:
            raise ValueError(f"a prior of one velocity for {emission.groups} kinematic groups")
        geometry, sw = spectrum.geometry, np.ascontiguousarray(spectrum.weight, dtype=np.float64)
        if not (sw > 0).any():
            raise ValueError("no channel has weight")
        t = np.ascontiguousarray(geometry.coordinate, dtype=np.float64)
        y = np.where(sw > 0, spectrum.data, 0.0) * sw
        flat = continuum.rows(t) * sw
        told = np.flatnonzero((flat != 0).any(axis=1))  # a window without channels has no term
        inverse = np.zeros((continuum.terms, continuum.terms))
        inverse[np.ix_(told, told)] = np.linalg.inv(flat[told] @ flat[told].T)
        level = inverse @ (flat @ y)
        away = float(np.abs((y - level @ flat)[sw > 0] / sw[sw > 0]).max())
        # The least squares of the continuum alone are as wrong as lines are bright.
        spread = _CONTINUUM * np.sqrt(np.diag(inverse)) + away
        peak = _AMPLITUDE * away
        columns, groups = emission.columns, emission.groups
        least = np.array([bounds.velocity[0], max(bounds.broadening[0], _LEAST)])
        low = np.concatenate(
            [np.tile(least, groups), np.full(columns, 0.0 if positive else -peak), level - spread]
        )
        most = np.array([bounds.velocity[1], bounds.broadening[1]])
        high = np.concatenate([np.tile(most, groups), np.full(columns, peak), level + spread])
        unit = math.log(math.sqrt(2 * math.pi * t.size) * spectrum.noise)
        amplitudes = columns * (math.log(peak if positive else 2 * peak) - unit)
        if positive:
            amplitudes += columns * math.log(2)
        wide = 2 * spread[told]
        alone = -0.5 * np.square(y - level @ flat).sum() - np.log(wide).sum()
        alone += 0.5 * np.linalg.slogdet(2 * np.pi * inverse[np.ix_(told, told)])[1]
        lines = len(emission.names)
        waves = np.zeros(t.size), np.zeros(t.size)
        scale, width = float(geometry.scale[0]), np.ascontiguousarray(geometry.width[0])
        if int(emission.shape) != GAUSSIAN:
            turns(math.pi * (t[1] - t[0]) * scale / width[0], *waves)
        rows, shares = np.zeros((lines, t.size)), np.ones(lines)
        space = (packed(emission), (scale, width), (t, sw, y, flat), (waves, rows, shares))
        return cls(emission, continuum, low, high, prior, float(amplitudes - alone), space)

    @property
    def dimensions(self) -> int:
        """Count the parameters."""
        return self.low.size

    def log_likelihood(self, point: Array) -> float:
        """Minus half chi2 at a point of shape (parameter,)."""
        return -0.5 * _chi2(np.ascontiguousarray(point), 2 * self.emission.groups, *self.space)

    def log_prior(self, point: Array) -> float:
        """Log of the prior's density, up to a constant; minus infinity outside the ranges."""
        if ((point < self.low) | (point > self.high)).any():
            return -math.inf
        if self.prior is None:
            return 0.0
        return float(self.prior.log_density(point[None, :1], point[None, 1:2])[0, 0])

    def transform(self, cube: Array) -> Array:
        """Turn a point of the unit cube into one of the prior."""
        point = self.low + cube * (self.high - self.low)
        if self.prior is not None:
            box = self.low[0], self.high[0], self.low[1], self.high[1]
            parts = self.prior.weights[0], self.prior.mean[0], self.prior.covariance[0]
            point[0], point[1] = _from_mixture(cube[0], cube[1], *parts, box)
        return point

    def log_evidence(self, found: float) -> float:
        """Turn what a sampler found for these ranges into lines over the continuum alone."""
        return found + self.shift

    def starts(self, kinematics: Array, generator: np.random.Generator) -> Array:
        """Draw the linear parameters for given velocities and broadenings.

        They are normal then (`posterior.py`), so each start is a draw of the posterior given its
        first parameters.

        Parameters
        ----------
        kinematics : ndarray, shape (start, 2 group)
        generator : numpy.random.Generator

        Returns
        -------
        ndarray, shape (start, parameter)
            Inside the ranges.
        """
        model, spaxel, (t, sw, y, flat), _ = self.space
        own = np.clip(kinematics, self.low[: kinematics.shape[1]], self.high[: kinematics.shape[1]])
        out = np.empty((len(own), self.dimensions))
        out[:, : own.shape[1]] = own
        for row, theta in zip(out, own, strict=True):
            v, b = theta[None, 0::2], theta[None, 1::2]
            width = spaxel[1] / spaxel[0]
            centre = self.emission.centres(v)[0] / spaxel[0]
            sigma = self.emission.sigmas(v, b)[0] / spaxel[0]
            shape = profiles(self.emission, t, centre, sigma, width) * sw
            shape = shape * self.emission.shares(v, b, spaxel[1][None])[0][:, None]
            design = np.zeros((self.emission.columns, t.size))
            np.add.at(design, model[3], shape)
            design = np.concatenate([design, flat])
            u, s, vt = np.linalg.svd(design, full_matrices=False)
            inverse = np.where(s > 1e-6 * s[0], 1 / np.maximum(s, 1e-300), 0.0)
            noise = generator.standard_normal(s.size)
            row[own.shape[1] :] = u @ (inverse * (vt @ y + noise))
        inset = 1e-6 * (self.high - self.low)
        return np.clip(out, self.low + inset, self.high - inset)


@njit(**BORROWING)
def _chi2(point, split, model, spaxel, spectrum, room):  # pragma: no cover - compiled
    """Give chi2 of the whole model, amplitudes and continuum included."""
    t, sw, y, flat = spectrum
    waves, rows, shares = room
    column = model[3]
    fill(model, point[:split], spaxel, t, sw, waves, rows, shares)
    linear = point[split:]
    columns, total = linear.size - flat.shape[0], 0.0
    for i in range(t.size):
        r = y[i]
        for k in range(column.size):
            r -= linear[column[k]] * shares[k] * rows[k, i]
        for d in range(flat.shape[0]):
            r -= linear[columns + d] * flat[d, i]
        total += r * r
    return total


@njit(**BORROWING)
def _phi(x):  # pragma: no cover - compiled
    """Give the normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@njit(**BORROWING)
def _mass_v(v, weights, mean, covariance):  # pragma: no cover - compiled
    """Mass of a mixture below a velocity."""
    total = 0.0
    for k in range(weights.size):
        total += weights[k] * _phi((v - mean[k, 0]) / math.sqrt(covariance[k, 0, 0]))
    return total


@njit(**BORROWING)
def _mass_b(b, v, weights, mean, covariance):  # pragma: no cover - compiled
    """Mass of a mixture below a broadening at a velocity, folded at zero, times its density."""
    total = 0.0
    for k in range(weights.size):
        variance = covariance[k, 0, 0]
        z = (v - mean[k, 0]) / math.sqrt(variance)
        slope = covariance[k, 0, 1] / variance
        middle = mean[k, 1] + slope * (v - mean[k, 0])
        own = math.sqrt(covariance[k, 1, 1] - slope * covariance[k, 0, 1])
        here = weights[k] * math.exp(-0.5 * z * z) / math.sqrt(variance)
        total += here * (_phi((b - middle) / own) - _phi((-b - middle) / own))
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _from_mixture(u, w, weights, mean, covariance, box):  # pragma: no cover - compiled
    """Velocity and broadening below which shares u and then w of the prior in the box lie."""
    low, high = box[0], box[1]
    first = _mass_v(low, weights, mean, covariance)
    wanted = first + u * (_mass_v(high, weights, mean, covariance) - first)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if _mass_v(middle, weights, mean, covariance) < wanted:
            low = middle
        else:
            high = middle
    v = 0.5 * (low + high)
    low, high = box[2], box[3]
    first = _mass_b(low, v, weights, mean, covariance)
    wanted = first + w * (_mass_b(high, v, weights, mean, covariance) - first)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if _mass_b(middle, v, weights, mean, covariance) < wanted:
            low = middle
        else:
            high = middle
    return v, 0.5 * (low + high)
