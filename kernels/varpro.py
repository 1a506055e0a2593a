"""Batched Levenberg-Marquardt by variable projection: lines on a continuum, any weights.

For given velocities and broadenings the amplitudes and the continuum follow from a linear
least-squares problem, so only the nonlinear parameters theta = (v_1, b_1, v_2, b_2, ...) are
searched (Golub & Pereyra 1973; Jacobian after Kaufman 1975). With whitened rows F (linear), M =
d model / d theta and y, and F F^T = L L^T,

    A = (F F^T)^-1 F y,   chi2 = y y - A F y,
    S = F M^T,   g = M (y - A F),   H = M M^T - (L^-1 S)^T (L^-1 S),
    (H + lambda diag H) d = g.

H is the Schur complement of the full normal matrix, so a step is that of the full problem and

    cov(theta) = H^-1,   cov(A, theta) = -(F F^T)^-1 S cov(theta),
    cov(A) = (F F^T)^-1 + (F F^T)^-1 S cov(theta) S^T (F F^T)^-1

is the complete covariance. H leaves out the residual's curvature: where a step gains less than half
of its promise, lambda makes up for it; where it gains more than that, the valley is flatter than H
and the next step is stretched. A step whose expected gain in chi2, with that of the geometric
series that follows, is below `TOLERANCE` is taken to first order (A with it) and ends the search.
A parameter at a bound whose gradient points outwards stays there. Amplitudes are free in sign.
The compiled loop releases the interpreter's lock and treats each spectrum alone: results depend
neither on threads nor on neighbours.
"""

from dataclasses import dataclass, fields
from enum import IntFlag
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._varpro import fit_all, model_lines
from .emission import Continuum, Emission, Shape

Array = NDArray[np.float64]

_LEAST = 0.1  # of a broadening [km/s]: at zero the derivatives of a sincgauss are 0 / 0


class Outcome(IntFlag):
    """How the search of one spectrum ended; 0 is good."""

    MAX_ITERATIONS = 1
    AT_BOUND = 2
    SINGULAR = 4
    NO_DATA = 8


class Bounds(NamedTuple):
    """Box of the nonlinear parameters, for every group."""

    velocity: tuple[float, float]
    broadening: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the channels of each spaxel lie and how wide the instrument is there.

    Parameters
    ----------
    coordinate : ndarray, shape (channel,)
        Channels fitted, in the unit of the axis; evenly spaced for sinc and sincgauss.
    scale : ndarray, shape (spaxel,)
        Factor on `coordinate` that gives the spaxel's own axis; 1 where all share it.
    width : ndarray, shape (spaxel, line)
        Width of the sinc, or standard deviation of the instrument's Gaussian, in the axis' unit.
    """

    coordinate: Array
    scale: Array
    width: Array

    def part(self, rows: NDArray[np.integer]) -> "Geometry":
        """Give some spaxels."""
        return Geometry(self.coordinate, self.scale[rows], self.width[rows])


@dataclass(frozen=True, slots=True)
class Fit:
    """Parameters of each spectrum; NaN where there is none.

    `linear` holds the columns' amplitudes, then the continuum's terms; the covariance is ordered
    v_1, b_1, v_2, b_2, ..., then as `linear`. A column all of whose channels are masked has NaN,
    and so has a group of nothing but such columns. The broadening of a sinc stays where it started
    and has no variance.
    """

    velocity: Array  # (spaxel, group) [km/s]
    broadening: Array  # (spaxel, group) [km/s]
    linear: Array  # (spaxel, column + term)
    covariance: Array  # (spaxel, parameter, parameter)
    chi2: Array  # (spaxel,)
    flat_chi2: Array  # (spaxel,), of the continuum alone
    dof: NDArray[np.int64]  # (spaxel,)
    evaluations: NDArray[np.int64]  # (spaxel,)
    outcome: NDArray[np.int64]  # (spaxel,), bits of Outcome

    def part(self, rows: NDArray[np.integer]) -> "Fit":
        """Copy some spaxels."""
        return Fit(*(getattr(self, field.name)[rows] for field in fields(self)))


def fit(
    data: NDArray[np.floating],
    weight: NDArray[np.floating],
    emission: Emission,
    continuum: Continuum,
    geometry: Geometry,
    *,
    start: tuple[Array, Array],
    bounds: Bounds,
    iterations: int = 40,
) -> Fit:
    """Fit every spectrum of a batch from its own start.

    Parameters
    ----------
    data : ndarray, shape (spaxel, channel)
        Spectra; a value whose weight is zero may be NaN.
    weight : ndarray, shape (spaxel, channel)
        One over the standard deviation of each channel; zero leaves the channel out.
    emission, continuum : Emission, Continuum
        The model.
    geometry : Geometry
        Axis and line width of each spaxel.
    start : (velocity, broadening), each of shape (spaxel, group)
        First guess [km/s]; clipped to the box.
    bounds : Bounds
        Box of velocity and broadening; a broadening is never below 0.1 km/s.
    iterations : int
        Model evaluations before the search gives up with MAX_ITERATIONS.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If shapes disagree, or the axis is not what the line shape needs.
    """
    spaxels = data.shape[0]
    check(data, weight, emission, geometry, start)
    bounds, theta = boxed(start, bounds)
    linear_size = emission.columns + continuum.terms
    size = 2 * emission.groups + linear_size
    out_theta = np.full((spaxels, 2 * emission.groups), np.nan)
    linear = np.full((spaxels, linear_size), np.nan)
    covariance = np.full((spaxels, size, size), np.nan)
    scalars = np.full((spaxels, 5), np.nan)
    fit_all(
        (_plain(data), _plain(weight), theta, _plain(geometry.scale), _plain(geometry.width)),
        packed(emission),
        _plain(geometry.coordinate),
        continuum.rows(geometry.coordinate),
        (*map(float, (*bounds.velocity, *bounds.broadening)), int(iterations)),
        (out_theta, linear, covariance, scalars),
    )
    return unpacked(out_theta, linear, covariance, scalars)


def unpacked(theta: Array, linear: Array, covariance: Array, scalars: Array) -> Fit:
    """Give what the compiled loops filled as a fit; `scalars` are as those of `fit_all`."""
    counts = np.nan_to_num(scalars[:, 1:4]).astype(np.int64)
    return Fit(
        velocity=theta[:, 0::2],
        broadening=theta[:, 1::2],
        linear=linear,
        covariance=covariance,
        chi2=scalars[:, 0],
        flat_chi2=scalars[:, 4],
        dof=counts[:, 0],
        evaluations=counts[:, 1],
        outcome=counts[:, 2],
    )


def boxed(start: tuple[Array, Array], bounds: Bounds) -> tuple[Bounds, Array]:
    """Box that is searched, and first guesses inside it, shape (spaxel, 2 group)."""
    bounds = Bounds(bounds.velocity, (max(bounds.broadening[0], _LEAST), bounds.broadening[1]))
    theta = np.clip(np.stack(start, axis=-1, dtype=np.float64), *np.transpose(bounds))
    return bounds, theta.reshape(len(theta), 2 * start[0].shape[1])


def check(
    data: NDArray[np.floating],
    weight: NDArray[np.floating],
    emission: Emission,
    geometry: Geometry,
    start: tuple[Array, Array],
) -> None:
    """Refuse what the compiled loops, which check nothing, would read past or take for another."""
    spaxels, channels = data.shape
    t, width = geometry.coordinate, geometry.width
    if weight.shape != data.shape or t.shape != (channels,):
        raise ValueError(f"data {data.shape}, weight {weight.shape} and axis {t.shape} disagree")
    if geometry.scale.shape != (spaxels,) or width.shape != (spaxels, len(emission.names)):
        raise ValueError(
            f"scale {geometry.scale.shape} and width {width.shape} are not those of {spaxels} "
            f"spaxels and {len(emission.names)} lines"
        )
    if any(guess.shape != (spaxels, emission.groups) for guess in start):
        raise ValueError(
            f"start {start[0].shape}, {start[1].shape} is not that of {spaxels} spaxels and "
            f"{emission.groups} groups"
        )
    if channels < 2 or not (np.diff(t) > 0).all():
        raise ValueError("the axis does not rise from channel to channel")
    if emission.shape is Shape.GAUSSIAN:
        return
    step = t[1] - t[0]
    uneven = np.abs(t - (t[0] + step * np.arange(channels))).max() / step
    if uneven > 1e-3:
        raise ValueError(f"channels are uneven by {uneven:.2g} of one; a sinc needs even ones")
    if (np.ptp(width, axis=1) > 1e-9 * width[:, 0]).any():
        raise ValueError("lines of one spaxel differ in width; a sinc has one for all")


def _plain(values: NDArray[np.floating]) -> Array:
    """Give the one kind of array that the loops are compiled for."""
    return np.require(values, np.float64, ["C", "W"])


def lines_at(fit: Fit, emission: Emission, geometry: Geometry) -> Array:
    """Evaluate the fitted lines, without their continuum, on any channels.

    Parameters
    ----------
    fit : Fit
        Of the spaxels of `geometry`.
    emission : Emission
        The model that was fitted.
    geometry : Geometry
        The channels wanted; its axis need not be the one that was fitted.

    Returns
    -------
    ndarray, shape (spaxel, channel)
        NaN where a spectrum has no fit; lines whose channels were masked are left out.
    """
    theta = np.stack([fit.velocity, fit.broadening], axis=-1).reshape(len(fit.chi2), -1)
    out = np.empty((len(fit.chi2), geometry.coordinate.size))
    model_lines(
        theta,
        fit.linear,
        packed(emission),
        _plain(geometry.coordinate),
        _plain(geometry.scale),
        _plain(geometry.width),
        out,
    )
    return out


def packed(emission: Emission) -> tuple:
    """Give the model as the compiled loops take it."""
    return (
        int(emission.shape),
        emission.wavenumber,
        emission.rest,
        emission.column,
        emission.ratio,
        emission.group,
        emission.lead,
    )
