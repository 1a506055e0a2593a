"""What the loop of `graph_search.py` reads and carries: spectra, the state of a search, a point."""

from dataclasses import dataclass, fields, replace

import numpy as np

from .graph_array import Array, given, where


@dataclass(frozen=True, slots=True)
class Spectra:
    """The spectra and the box they are searched in."""

    y: Array  # (spaxel, channel), whitened
    weight: Array  # (spaxel, channel)
    start: Array  # (spaxel, parameter)
    scale: Array  # (spaxel, 1)
    width: Array  # (spaxel, line)
    element: Array  # (spaxel, 1), resolution element [km/s]
    low: Array  # (parameter,)
    high: Array  # (parameter,)
    movable: Array  # (parameter,), 0 for what the line shape has not
    own: Array  # (parameter,), place of the group's broadening
    iterations: Array  # ()

    @classmethod
    def declare(cls) -> "Spectra":
        """Make them inputs of the graph."""
        real = np.float64
        return cls(
            y=given(real, "spaxel", "channel"),
            weight=given(real, "spaxel", "channel"),
            start=given(real, "spaxel", "parameter"),
            scale=given(real, "spaxel", "one"),
            width=given(real, "spaxel", "line"),
            element=given(real, "spaxel", "one"),
            low=given(real, "parameter"),
            high=given(real, "parameter"),
            movable=given(real, "parameter"),
            own=given(np.int64, "parameter"),
            iterations=given(np.int64),
        )


@dataclass(frozen=True, slots=True)
class State:
    """What a turn hands to the next; batch first, scalars of shape (spaxel, 1)."""

    rows: Array  # (spaxel,), which spectra these are
    trial: Array
    step: Array
    gain: Array  # promised by the step
    whole: Array  # logical: the step was neither shortened nor clipped
    before: Array  # gain of the step before
    flat: Array  # how many times flatter than H the valley is
    stretch: Array  # of the step
    damping: Array
    theta: Array
    chi2: Array
    amplitude: Array
    covariance: Array  # (F F^T)^-1
    S: Array
    H: Array
    g: Array
    kept: Array  # (spaxel, linear), 0 for what the masks leave without data
    count: Array

    @property
    def values(self) -> list[Array]:
        """Give the fields in order."""
        return [getattr(self, field.name) for field in fields(self)]

    def taken(self, index: Array) -> "State":
        """Give some spectra."""
        return State(*(value.take(index) for value in self.values))

    def moved(self, point: "Point", accepted: Array) -> "State":
        """Go to the trial point where it is accepted."""

        def chosen(new: Array, old: Array) -> Array:
            return where(accepted, new, old)

        def matrix(new: Array, old: Array) -> Array:
            return where(accepted.along(2), new, old)

        return replace(
            self,
            before=chosen(self.gain, self.before),
            theta=chosen(self.trial, self.theta),
            chi2=chosen(point.chi2, self.chi2),
            amplitude=chosen(point.amplitude, self.amplitude),
            covariance=matrix(point.covariance, self.covariance),
            S=matrix(point.S, self.S),
            H=matrix(point.H, self.H),
            g=chosen(point.g, self.g),
            kept=point.kept,
            count=self.count + 1.0,
        )


@dataclass(frozen=True, slots=True)
class Point:
    """The model at one point, solved for its linear parameters."""

    chi2: Array
    solved: Array  # logical
    amplitude: Array
    covariance: Array
    S: Array
    H: Array
    g: Array
    kept: Array
