"""Several kinematic components of the same lines: every line stands in the model once for each.

A component is a copy of all lines, with their ratios and their groups, that moves by itself: the
model of K components has K times the groups and the columns, and `varpro.py` needs nothing new. The
copies of component k > 1 are called ``LINE_ck``. Parameters run component by component: groups
(k, g) at k G + g, columns (k, j) at k J + j, then the continuum.

The model does not change where two components of a group change places. What is published is
sorted: in every group by falling flux of the group's brightest line.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .emission import Emission
from .varpro import Bounds, Fit

Array = NDArray[np.float64]


def repeated(emission: Emission, count: int) -> Emission:
    """Build the model of several components.

    Parameters
    ----------
    emission : Emission
        Of one component.
    count : int
        Components.

    Returns
    -------
    Emission
    """
    lines, each = len(emission.names), np.arange(count)[:, None]
    names = tuple(
        name if k == 0 else f"{name}_c{k + 1}" for k in range(count) for name in emission.names
    )
    return replace(
        emission,
        names=names,
        rest=np.tile(emission.rest, count),
        column=(emission.column + each * emission.columns).ravel(),
        ratio=np.tile(emission.ratio, count),
        lead=(emission.lead + each * lines).ravel(),
        group=(emission.group + each * emission.groups).ravel(),
    )


def sorted_by_flux(fit: Fit, one: Emission, count: int, width: Array) -> Fit:
    """Put the components of each group into the order of falling flux of its brightest line.

    Parameters
    ----------
    fit : Fit
        Of `count` components.
    one : Emission
        Of one component.
    count : int
    width : ndarray, shape (spaxel, line)
        Of the instrument, at the lines of one component.

    Returns
    -------
    Fit
    """
    several, spaxels = repeated(one, count), fit.chi2.size
    unit = several.peak_fluxes(fit.velocity, fit.broadening, np.tile(width, count))
    flux = fit.linear[:, several.column] * several.ratio * unit[:, several.lead]
    flux = np.where(np.isfinite(flux), flux, -np.inf).reshape(spaxels, count, -1)
    order = np.empty((spaxels, count, one.groups), dtype=np.int64)
    for group in range(one.groups):
        brightest = flux[:, :, one.line_group == group].max(axis=2)
        order[:, :, group] = np.argsort(-brightest, axis=1, kind="stable")
    return _reordered(fit, order, one, count)


def _reordered(fit: Fit, order: NDArray[np.int64], one: Emission, count: int) -> Fit:
    """Take component order[s, k, g] of group g of spaxel s for its component k."""
    spaxels, groups, columns = len(order), one.groups, one.columns
    each = np.arange(groups)
    kinematic = (order * groups + each).reshape(spaxels, -1)
    linear = (order[:, :, one.group] * columns + np.arange(columns)).reshape(spaxels, -1)
    terms = np.arange(count * columns, fit.linear.shape[1])
    linear = np.concatenate([linear, np.broadcast_to(terms, (spaxels, terms.size))], axis=1)
    theta = np.stack([2 * kinematic, 2 * kinematic + 1], axis=-1).reshape(spaxels, -1)
    every = np.concatenate([theta, linear + theta.shape[1]], axis=1)
    rows = np.arange(spaxels)
    return replace(
        fit,
        velocity=np.take_along_axis(fit.velocity, kinematic, axis=1),
        broadening=np.take_along_axis(fit.broadening, kinematic, axis=1),
        linear=np.take_along_axis(fit.linear, linear, axis=1),
        covariance=fit.covariance[rows[:, None, None], every[:, :, None], every[:, None, :]],
    )


def embedded(fit: Fit, one: Emission, have: int, want: int) -> Fit:
    """Give a fit of fewer components the shape of one of more; NaN for those that it lacks.

    Parameters
    ----------
    fit : Fit
        Of `have` components.
    one : Emission
        Of one component.
    have, want : int
        Components.
    """
    spaxels, kinematic = fit.chi2.size, have * one.groups
    terms = fit.linear.shape[1] - have * one.columns
    parameters = want * (2 * one.groups + one.columns) + terms
    velocity, broadening = (np.full((spaxels, want * one.groups), np.nan) for _ in range(2))
    velocity[:, :kinematic], broadening[:, :kinematic] = fit.velocity, fit.broadening
    places = np.r_[: have * one.columns, want * one.columns : want * one.columns + terms]
    linear = np.full((spaxels, want * one.columns + terms), np.nan)
    linear[:, places] = fit.linear
    whole = np.r_[: 2 * kinematic, places + 2 * want * one.groups]
    covariance = np.full((spaxels, parameters, parameters), np.nan)
    covariance[:, whole[:, None], whole] = fit.covariance
    return replace(
        fit, velocity=velocity, broadening=broadening, linear=linear, covariance=covariance
    )


def laplace_evidence(
    fit: Fit, one: Emission, count: int, bounds: Bounds, scale: Array, *, widths: bool
) -> Array:
    """Approximate the evidence of the lines over the continuum alone by a Gaussian at the fit.

    With the priors of `posterior.py` and C the covariance of theta and the m amplitudes,

        ln Z = (chi2_flat - chi2) / 2 + ln |2 pi C| / 2 - m ln(sqrt(2 pi) s sigma) - ln A + ln n!,

    where A is the volume of the box and the K! for each group counts the orders of its components.

    Parameters
    ----------
    fit : Fit
    one : Emission
        Of one component.
    count : int
        Components of the fit.
    bounds : Bounds
        Of the flat prior.
    scale : ndarray, shape (spaxel,)
        s sigma: scale of the amplitudes' prior.
    widths : bool
        Whether the lines have a broadening of their own.

    Returns
    -------
    ndarray, shape (spaxel,)
        -inf where there is no fit.
    """
    groups, columns = count * one.groups, count * one.columns
    theta = np.arange(2 * groups) if widths else np.arange(0, 2 * groups, 2)
    chosen = np.r_[theta, 2 * groups : 2 * groups + columns]
    block = fit.covariance[:, chosen[:, None], chosen]
    sigma = np.sqrt(np.maximum(np.einsum("sii->si", block), 0.0))
    known = (sigma > 0).all(axis=1) & np.isfinite(fit.chi2)
    sigma = np.where(known[:, None], sigma, 1.0)
    scaled = np.where(
        known[:, None, None], block / (sigma[:, :, None] * sigma[:, None, :]), np.eye(chosen.size)
    )
    sign, log_det = np.linalg.slogdet(scaled)
    log_det += 2 * np.log(sigma).sum(axis=1)
    (v_low, v_high), (b_low, b_high) = bounds
    area = (v_high - v_low) * ((b_high - b_low) if widths else 1.0)
    value = 0.5 * (fit.flat_chi2 - fit.chi2 + log_det + theta.size * np.log(2 * np.pi))
    value -= columns * np.log(np.where(scale > 0, scale, np.nan)) + groups * np.log(area)
    value += one.groups * math.log(math.factorial(count))
    return np.where(known & (sign > 0) & np.isfinite(value), value, -np.inf)
