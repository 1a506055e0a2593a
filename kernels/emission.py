"""Emission lines on a polynomial continuum: which line shares what with which.

A model is linear in its amplitudes and in its continuum, nonlinear only in the velocity and the
broadening of each kinematic group:

    m(t) = sum_j A_j sum_{k in column j} share_k f(t - t_k(v_g); b_g, ILS) + sum_d C_d P_d(t).

A *column* is one free amplitude: that of its lead, a single line or the first of a doublet whose
ratio is fixed. What atomic physics fixes is the ratio of the fluxes, so a line's share of the
amplitude is its ratio times the flux of the lead at peak one over its own. A *group* is a set of
columns that move together. Velocities are optical, c (lambda - lambda_0) / lambda_0, and the
broadening is c sigma / t of the line alone, the instrument's own width taken out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import ils, profile
from .axis import GAUSSIAN_FWHM, SINC_FWHM, SPEED_OF_LIGHT

Array = NDArray[np.float64]


class Shape(IntEnum):
    """Line shape of an instrument."""

    GAUSSIAN = profile.GAUSSIAN
    SINC = profile.SINC
    SINCGAUSS = profile.SINCGAUSS


@dataclass(frozen=True, slots=True)
class Emission:
    """Lines of a model and how they are tied.

    Parameters
    ----------
    names : tuple of str
        Lines, in the order of the other fields.
    rest : ndarray, shape (line,)
        Rest coordinate in the unit of the axis, redshifted: where a line of velocity 0 stands.
    column : ndarray of int64, shape (line,)
        Free amplitude that the line takes part in.
    ratio : ndarray, shape (line,)
        Flux of the line over that of its column's lead.
    lead : ndarray of int64, shape (line,)
        Lead of the line's column: itself for a free line.
    group : ndarray of int64, shape (column,)
        Kinematic group of each column.
    shape : Shape
        Line shape.
    wavenumber : bool
        True where the axis is a wavenumber and a receding line moves to smaller coordinates.
    """

    names: tuple[str, ...]
    rest: Array
    column: NDArray[np.int64]
    ratio: Array
    lead: NDArray[np.int64]
    group: NDArray[np.int64]
    shape: Shape
    wavenumber: bool

    @property
    def columns(self) -> int:
        """Free amplitudes."""
        return self.group.size

    @property
    def groups(self) -> int:
        """Kinematic groups."""
        return int(self.group.max()) + 1

    @property
    def line_group(self) -> NDArray[np.int64]:
        """Kinematic group of each line, shape (line,)."""
        return self.group[self.column]

    def centres(self, velocity: ArrayLike) -> Array:
        """Line centres in the unit of the axis.

        Parameters
        ----------
        velocity : array_like, shape (spaxel, group)
            Optical velocity [km/s].

        Returns
        -------
        ndarray, shape (spaxel, line)
        """
        stretch = 1.0 + np.asarray(velocity)[:, self.line_group] / SPEED_OF_LIGHT
        return self.rest / stretch if self.wavenumber else self.rest * stretch

    def sigmas(self, velocity: ArrayLike, broadening: ArrayLike) -> Array:
        """Give the standard deviation of each line without the instrument, shape (spaxel, line)."""
        return np.asarray(broadening)[:, self.line_group] / SPEED_OF_LIGHT * self.centres(velocity)

    def peak_fluxes(self, velocity: ArrayLike, broadening: ArrayLike, width: Array) -> Array:
        """Flux of each line at peak one, integrated over wavelength.

        Parameters
        ----------
        velocity, broadening : array_like, shape (spaxel, group)
            Of the lines [km/s].
        width : ndarray, shape (spaxel, line)
            Of the instrument.

        Returns
        -------
        ndarray, shape (spaxel, line)
            In angstrom.
        """
        area = peak_integral(self.shape, self.sigmas(velocity, broadening), width)
        return area * 1e8 / np.square(self.centres(velocity)) if self.wavenumber else area

    def flux_slopes(
        self, velocity: ArrayLike, broadening: ArrayLike, width: Array, flux: Array
    ) -> tuple[Array, Array]:
        """Give the derivatives of `peak_fluxes`, which are given, by velocity and by broadening.

        Returns
        -------
        (by_velocity, by_broadening), each of shape (spaxel, line)
            In angstrom s / km.
        """
        sigma, speed = self.sigmas(velocity, broadening), np.asarray(velocity)[:, self.line_group]
        power = integral_power(self.shape, sigma, width)  # d ln integral / d ln sigma
        # sigma goes with the centre, which goes with 1 + v/c or its inverse
        by_stretch = (2.0 - power) if self.wavenumber else power
        by_broadening = flux * power / np.asarray(broadening)[:, self.line_group]
        return flux * by_stretch / (SPEED_OF_LIGHT + speed), by_broadening

    def shares(self, velocity: ArrayLike, broadening: ArrayLike, width: Array) -> Array:
        """Amplitude of each line over that of its column, shape (spaxel, line)."""
        flux = self.peak_fluxes(velocity, broadening, width)
        return self.ratio * flux[:, self.lead] / flux


def tie(
    rest: Mapping[str, float],
    *,
    shape: Shape,
    wavenumber: bool,
    groups: Sequence[Sequence[str]] = (),
    ratios: Mapping[tuple[str, str], float] | None = None,
) -> Emission:
    """Build a model from line names, kinematic groups and fixed ratios.

    Parameters
    ----------
    rest : mapping of str to float
        Rest coordinate of each line in the unit of the axis, redshifted.
    shape : Shape
        Line shape.
    wavenumber : bool
        Whether the axis is a wavenumber.
    groups : sequence of sequences of str
        Kinematic groups; lines that none names join the first. Empty: all lines in one.
    ratios : mapping of (str, str) to float
        Flux of the first over the second line; pairs with an absent line are left out.

    Raises
    ------
    ValueError
        If a group names an absent line, one twice or none, or if a ratio is not positive, crosses
        two groups, or fixes what another ratio fixes.
    """
    names = tuple(rest)
    member = _membership(names, groups)
    leader = _leaders(names, member, ratios or {})
    heads = [name for name in names if leader[name][0] == name]
    return Emission(
        names=names,
        rest=np.array([rest[name] for name in names]),
        column=np.array([heads.index(leader[name][0]) for name in names], dtype=np.int64),
        ratio=np.array([leader[name][1] for name in names]),
        lead=np.array([names.index(leader[name][0]) for name in names], dtype=np.int64),
        group=np.array([member[name] for name in heads], dtype=np.int64),
        shape=shape,
        wavenumber=wavenumber,
    )


def _leaders(
    names: Sequence[str], member: Mapping[str, int], ratios: Mapping[tuple[str, str], float]
) -> dict[str, tuple[str, float]]:
    """Lead of each line, and the line's flux over that of its lead."""
    above: dict[str, tuple[str, float]] = {}
    for (strong, weak), value in ratios.items():
        if strong not in names or weak not in names:
            continue
        if member[strong] != member[weak]:
            raise ValueError(f"{strong}/{weak} = {value} ties two kinematic groups; free the ratio")
        if not value > 0:
            raise ValueError(f"{strong}/{weak} = {value} is not positive; give a ratio above 0")
        if weak in above:
            raise ValueError(f"{weak} is tied to {above[weak][0]} and to {strong}; keep one")
        above[weak] = strong, 1.0 / value
    leader = {}
    for name in names:
        chain, factor = [name], 1.0
        while chain[-1] in above:
            strong, step = above[chain[-1]]
            if strong in chain:
                raise ValueError(f"ratios lead from {strong} back to {strong}; free one")
            chain.append(strong)
            factor *= step
        leader[name] = chain[-1], factor
    return leader


def _membership(names: Sequence[str], groups: Sequence[Sequence[str]]) -> dict[str, int]:
    member: dict[str, int] = {}
    for index, group in enumerate(groups):
        if not group:
            raise ValueError(f"group {index + 1} names no line; drop it")
        for name in group:
            if name not in names:
                raise ValueError(f"group {index + 1} names {name}, which is not fitted; drop it")
            if name in member:
                raise ValueError(
                    f"{name} is in groups {member[name] + 1} and {index + 1}; keep one"
                )
            member[name] = index
    return {name: member.get(name, 0) for name in names}


@dataclass(frozen=True, slots=True)
class Continuum:
    """A polynomial of its own in each window of the axis.

    Parameters
    ----------
    windows : tuple of (low, high)
        Stretches of the axis, in its unit; a polynomial is zero outside its own.
    degree : int
        Of each polynomial.
    """

    windows: tuple[tuple[float, float], ...]
    degree: int

    @property
    def terms(self) -> int:
        """Linear parameters."""
        return len(self.windows) * (self.degree + 1)

    def rows(self, coordinate: ArrayLike) -> Array:
        """Legendre polynomials on [-1, 1] of each window, shape (term, channel)."""
        t = np.asarray(coordinate, dtype=np.float64)
        rows = np.zeros((self.terms, t.size))
        for index, (low, high) in enumerate(self.windows):
            inside = (t >= low) & (t <= high)
            unit = (2 * t[inside] - low - high) / (high - low)
            basis = np.polynomial.legendre.legvander(unit, self.degree).T
            rows[index * (self.degree + 1) : (index + 1) * (self.degree + 1), inside] = basis
        return rows


def profiles(
    emission: Emission, coordinate: Array, centre: Array, sigma: Array, width: Array
) -> Array:
    """Exact profile of every line, peak one.

    Parameters
    ----------
    emission : Emission
        The lines.
    coordinate : ndarray, shape (channel,)
        Of one spaxel.
    centre, sigma : ndarray, shape (line,)
        Centres and standard deviations, without the instrument.
    width : ndarray, shape (line,)
        Width of the sinc, or standard deviation of the instrument's Gaussian.

    Returns
    -------
    ndarray, shape (line, channel)
    """
    offset = coordinate - centre[:, None]
    if emission.shape is Shape.SINC:
        return ils.sinc(offset, width[:, None])
    if emission.shape is Shape.SINCGAUSS:
        return ils.sincgauss(offset, sigma[:, None], width[:, None])
    return ils.gaussian(offset, np.hypot(sigma, width)[:, None])


def peak_integral(shape: Shape, sigma: ArrayLike, width: ArrayLike) -> Array:
    """Integral of a line of peak one over the axis, in its unit; arguments broadcast."""
    if shape is Shape.SINC:
        return ils.sinc_flux(np.broadcast_arrays(width, sigma)[0])
    if shape is Shape.SINCGAUSS:
        return ils.sincgauss_flux(sigma, width)
    return ils.gaussian_flux(np.hypot(sigma, width))


def integral_power(shape: Shape, sigma: ArrayLike, width: ArrayLike) -> Array:
    """Slope d ln integral / d ln sigma of a line of peak one: 0 if narrow, 1 if broad."""
    if shape is Shape.SINC:
        return np.zeros(np.broadcast_shapes(np.shape(sigma), np.shape(width)))
    if shape is Shape.SINCGAUSS:
        return ils.sincgauss_power(sigma, width)
    squared = np.square(sigma)
    return squared / (squared + np.square(width))


def resolution_element(shape: Shape, width: ArrayLike, centre: ArrayLike) -> Array:
    """FWHM of the instrument [km/s] at a line; arguments broadcast."""
    factor = GAUSSIAN_FWHM if shape is Shape.GAUSSIAN else SINC_FWHM
    return factor * np.asarray(width) / np.asarray(centre) * SPEED_OF_LIGHT
