"""Emission lines in the graph of `build_fit_graph.py`: profiles, flux shares, derivatives.

An FTS sees a line through its interferogram. With channels x counted from the middle of the window,
a centre z, a Gaussian of variance 2 s and a sinc whose first zero is pi / phi_max away, all in
channels,

    I(x) = int_0^phi_max exp(-s phi^2) cos((x - z) phi) dphi,   f = I(x) / I(z),

and a quadrature in phi (`models/interferogram.py`) makes the profiles of a batch two matrix
products with cos(x phi) and sin(x phi), tables that all spectra share. There is no error function,
nothing cancels as s -> 0, and derivatives are the same products with other coefficients. The flux
of a line of peak one is proportional to 1 / I(z).

Derivatives by velocity and broadening are written as two rows for each kinematic group: `spread`,
with (s, total variance) growing as one over a relative change of sigma, and `moved`, from the
displacement alone; a line's own sigma grows with its centre, so spread enters both.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..kernels.axis import SPEED_OF_LIGHT
from .graph_array import Array, concat, cos, exp, given, sin, sqrt, where


@dataclass(frozen=True, slots=True)
class Model:
    """What a model is made of; the same for all spectra."""

    rest: Array  # (line,)
    ratio: Array  # (line,), flux over that of the lead
    lead: Array  # (line,), places
    group: Array  # (line,), places
    members: Array  # (group, line), 1 where the line is in the group
    share: Array  # (linear, row), 1 where a row is in a column: lines, then the continuum's terms
    is_line: Array  # (linear,), 1 for the amplitudes of lines
    basis: Array  # (term, channel)
    wavenumber: Array  # (), logical
    widths: Array  # (), 1 where lines have a broadening, 0 for a sinc

    @classmethod
    def declare(cls) -> "Model":
        """Make them inputs of the graph."""
        real, place = np.float64, np.int64
        return cls(
            rest=given(real, "line"),
            ratio=given(real, "line"),
            lead=given(place, "line"),
            group=given(place, "line"),
            members=given(real, "group", "line"),
            share=given(real, "linear", "row"),
            is_line=given(real, "linear"),
            basis=given(real, "term", "channel"),
            wavenumber=given(np.bool_),
            widths=given(real),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the lines of each spectrum stand, shape (spaxel, line) or (spaxel, group)."""

    centre: Array
    sigma: Array
    own: Array  # instrument
    drift: Array  # d ln centre / dv, (spaxel, group)
    broadening: Array  # (spaxel, group)


def place(model: Model, theta: Array, scale: Array, width: Array) -> Place:
    """Put the lines on the axis that is fitted, which `scale` stretches to the spaxel's own."""
    velocity, broadening = theta.every_other(0), theta.every_other(1)
    stretch = 1.0 + velocity / SPEED_OF_LIGHT
    factor = where(model.wavenumber, 1.0 / stretch, stretch).take(model.group, axis=1)
    centre = model.rest * factor / scale
    sigma = broadening.take(model.group, axis=1) / SPEED_OF_LIGHT * centre * model.widths
    nearing = 1.0 / (velocity + SPEED_OF_LIGHT)
    drift = where(model.wavenumber, 0.0 - nearing, nearing)
    return Place(centre, sigma, width / scale, drift, broadening)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines at one point of the search."""

    rows: Array  # (spaxel, line, channel), peak one
    shares: Array  # (spaxel, line), amplitude over that of the column
    swelling: Array  # (spaxel, line), d ln flux / d ln sigma at peak one
    place: Place
    parts: tuple[Array, ...]  # what the derivatives reuse


def _shares(model: Model, area: Array, centre: Array) -> Array:
    """Amplitudes that give the flux ratios asked for; `area` up to a factor."""
    flux = where(model.wavenumber, area / (centre * centre), area)
    return model.ratio * flux.take(model.lead, axis=1) / flux


class Shape(Protocol):
    """A line shape and the inputs it needs beside those of `Model`."""

    def inputs(self) -> dict[str, Array]:
        """Give the inputs by name."""
        ...

    def lines(self, model: Model, where: Place, rows: Array) -> Lines:
        """Evaluate the lines of the spectra in `rows`."""
        ...

    def slopes(self, model: Model, lines: Lines, peak: Array) -> tuple[Array, Array]:
        """Give `spread` and `moved`, shape (spaxel, group, channel), for peaks of each line."""
        ...


class Fts:
    """Sinc and sincgauss; channels are paired about the middle of the window: right, then left."""

    def __init__(self) -> None:
        real = np.float64
        self.middle = given(real)  # coordinate of the middle
        self.step = given(real)
        self.phase = given(real, "node")
        self.inner = given(real, "inner")  # weights of the nodes that all spectra have
        self.edge = given(real, "spaxel", "edge")  # of the last ones, up to each one's phi_max
        self.cosine = given(real, "node", "pair")
        self.sine = given(real, "node", "pair")

    def inputs(self) -> dict[str, Array]:
        """Give the inputs by name."""
        return dict(vars(self))

    def _project(self, even: Array, odd: Array) -> Array:
        """From coefficients of cos(x phi) and sin(x phi) to channels."""
        even, odd = even @ self.cosine, odd @ self.sine
        return concat([even + odd, even - odd], axis=2)

    def lines(self, model: Model, where: Place, rows: Array) -> Lines:
        """Evaluate the lines of the spectra in `rows`."""
        turn = ((where.centre - self.middle) / self.step).along(2) * self.phase
        narrow = where.sigma / self.step
        s = 0.5 * narrow * narrow
        square = self.phase * self.phase
        edge = self.edge.take(rows)
        inner = edge.sum(1) * 0.0 + self.inner
        fade = exp((0.0 - s).along(2) * square) * concat([inner, edge], axis=1).along(1)
        peak = fade.sum(2)
        fade = fade / peak
        mean = (fade * square).sum(2)  # of phi^2; shape (spaxel, line, 1)
        even, odd = fade * cos(turn), fade * sin(turn)
        size = peak.shaped(0, 0)
        return Lines(
            rows=self._project(even, odd),
            shares=_shares(model, 1.0 / size, where.centre),
            swelling=2.0 * s * mean.shaped(0, 0),
            place=where,
            parts=(even, odd, (2.0 * s).along(2) * (mean - square)),
        )

    def slopes(self, model: Model, lines: Lines, peak: Array) -> tuple[Array, Array]:
        """Give `spread` and `moved`."""
        even, odd, bend = lines.parts
        pull = lines.swelling.take(model.lead, axis=1) - lines.swelling
        spread = peak.along(2) * (bend + pull.along(2))
        shift = (peak * lines.place.centre / self.step).along(2) * self.phase
        members = model.members
        return (
            self._project(members @ (even * spread), members @ (odd * spread)),
            self._project(members @ (0.0 - odd * shift), members @ (even * shift)),
        )


class Gaussian:
    """A Gaussian line, that of the instrument folded in."""

    def __init__(self) -> None:
        self.coordinate = given(np.float64, "channel")

    def inputs(self) -> dict[str, Array]:
        """Give the inputs by name."""
        return dict(vars(self))

    def lines(self, model: Model, where: Place, rows: Array) -> Lines:
        """Evaluate the lines of the spectra in `rows`."""
        total = sqrt(where.sigma * where.sigma + where.own * where.own)
        away = (self.coordinate - where.centre.along(2)) / total.along(2)
        f = exp(-0.5 * away * away)
        part = where.sigma / total
        return Lines(
            rows=f,
            shares=_shares(model, total, where.centre),
            swelling=part * part,
            place=where,
            parts=(f, away, total),
        )

    def slopes(self, model: Model, lines: Lines, peak: Array) -> tuple[Array, Array]:
        """Give `spread` and `moved`."""
        f, away, total = lines.parts
        pull = lines.swelling.take(model.lead, axis=1) - lines.swelling
        bend = lines.swelling.along(2) * away * away + pull.along(2)
        shift = (peak * lines.place.centre / total).along(2)
        spread = model.members @ (peak.along(2) * f * bend)
        return spread, model.members @ (shift * f * away)


def derivatives(lines: Lines, spread: Array, moved: Array) -> Array:
    """Rows of d model / d theta, shape (spaxel, parameter, channel), ordered v_1, b_1, v_2, ..."""
    by_velocity = (spread + moved) * lines.place.drift.along(2)
    by_broadening = spread / lines.place.broadening.along(2)
    pairs = concat([by_velocity.along(2), by_broadening.along(2)], axis=2)
    return pairs.shaped(0, -1, by_velocity.size(2))
