"""A posterior in any number of velocities and broadenings, and the spectra it is of.

What `importance.py` and `nested.py` sample: the density of `posterior.py`, amplitudes and continuum
integrated, with a flat prior of every velocity and broadening, on exact profiles.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._importance import densities
from ._posterior_point import NOWHERE
from .emission import Continuum, Emission, Shape
from .posterior import Amplitudes
from .varpro import Bounds, Geometry, packed

Array = NDArray[np.float64]

_LEAST = 0.1  # of a broadening [km/s]: at zero the profile is 0 / 0


@dataclass(frozen=True, slots=True)
class Target:
    """A posterior: model and priors.

    Parameters
    ----------
    emission, continuum : Emission, Continuum
        Of all components.
    components : int
        The groups of `emission` are those of one component, so many times.
    bounds : Bounds
        Of the flat prior of every velocity and broadening.
    amplitudes : Amplitudes
        Their prior; flat.
    """

    emission: Emission
    continuum: Continuum
    components: int
    bounds: Bounds
    amplitudes: Amplitudes

    @property
    def box(self) -> Array:
        """Lowest and highest of velocity and of broadening, shape (2, 2)."""
        low, high = self.bounds.broadening
        return np.array([self.bounds.velocity, (max(low, _LEAST), high)])

    @property
    def free(self) -> NDArray[np.int64]:
        """Parameters that are sampled: a sinc has no broadening."""
        count = 2 * self.emission.groups
        return np.arange(0, count, 2 if self.emission.shape is Shape.SINC else 1)

    def orders(self) -> NDArray[np.int64]:
        """Give the parameters in every order of the components of each group, (order, free)."""
        free = self.free.tolist()
        each = self.emission.groups // self.components
        found = []
        for moved in itertools.product(itertools.permutations(range(self.components)), repeat=each):
            group = [moved[g][k] * each + g for k in range(self.components) for g in range(each)]
            found.append([free.index(2 * group[p // 2] + p % 2) for p in free])
        return np.array(found)

    def line_orders(self) -> NDArray[np.int64]:
        """Give the lines in every order of `orders`, shape (order, line)."""
        free, groups = self.free, self.emission.groups // self.components
        lines, found = len(self.emission.names) // self.components, []
        for order in self.orders():
            stands = dict(zip((free // 2).tolist(), (free[order] // 2).tolist(), strict=True))
            own = [stands[group] // groups for group in self.emission.line_group.tolist()]
            found.append([k * lines + n % lines for n, k in enumerate(own)])
        return np.array(found)

    def _arguments(self, spectra: "Spectra") -> tuple[Any, Any, Any, Any, Any]:
        """Give what the compiled loop takes, but for the points."""
        return (
            spectra.arrays(),
            packed(self.emission),
            np.require(spectra.geometry.coordinate, np.float64, "C"),
            self.continuum.rows(spectra.geometry.coordinate),
            (0.0, float(np.log(self.amplitudes.scale)), float(self.amplitudes.positive)),
        )

    def likelihood(self, spectrum: "Spectra", theta: Array) -> Callable[[Array], float]:
        """Give the log likelihood of one spectrum at one point inside the bounds.

        Parameters
        ----------
        spectrum : Spectra
            One.
        theta : ndarray, shape (parameter,)
            What is not free is held here.

        Returns
        -------
        callable
            From what is free, over the likelihood of the continuum alone.
        """
        arguments, free = self._arguments(spectrum), self.free
        point = np.where(np.isfinite(theta), theta, 1.0)[None, None, :].copy()
        out = np.empty((1, 1)), np.empty((1, 1, len(self.emission.names), 2))

        def value(chosen: Array) -> float:
            point[0, 0, free] = chosen
            densities(*arguments, point, out)
            return float(out[0][0, 0])

        return value

    def evaluate(self, spectra: "Spectra", theta: Array) -> tuple[Array, Array, Array]:
        """Evaluate prior times likelihood.

        Parameters
        ----------
        spectra : Spectra
        theta : ndarray, shape (spaxel, draw, parameter)
            Velocities and broadenings.

        Returns
        -------
        (log_density, flux, variance), of shapes (spaxel, draw) and twice (spaxel, draw, line)
            The first over the likelihood of the continuum alone, -inf outside the bounds.
        """
        (v_low, v_high), (b_low, b_high) = self.box
        v, b = theta[:, :, 0::2], theta[:, :, 1::2]
        inside = ((v >= v_low) & (v <= v_high)).all(axis=2)
        inside &= ((b >= b_low) & (b <= b_high)).all(axis=2)
        values = np.empty(theta.shape[:2])
        moments = np.empty((*theta.shape[:2], len(self.emission.names), 2))
        known = np.where(inside[:, :, None], theta, np.nan)
        densities(*self._arguments(spectra), known, (values, moments))
        area = (v_high - v_low) * (1.0 if self.emission.shape is Shape.SINC else b_high - b_low)
        values = np.where(values > NOWHERE, values - self.emission.groups * np.log(area), -np.inf)
        unit = spectra.noise[:, None, None]
        return values, moments[..., 0] * unit, moments[..., 1] * unit**2


@dataclass(frozen=True, slots=True)
class Spectra:
    """What is observed.

    Parameters
    ----------
    data : ndarray, shape (spaxel, channel)
        A value whose weight is zero may be NaN.
    weight : ndarray, shape (spaxel, channel) or (spaxel, 1)
        One over the standard deviation; zero leaves a channel out.
    noise : ndarray, shape (spaxel,)
        Typical standard deviation of a channel, the unit of the amplitudes' prior.
    geometry : Geometry
        Of all components.
    """

    data: NDArray[np.floating]
    weight: NDArray[np.floating]
    noise: Array
    geometry: Geometry

    def part(self, rows: NDArray[np.integer] | slice) -> "Spectra":
        """Give some spaxels."""
        rows = np.arange(len(self.data))[rows]
        return Spectra(
            self.data[rows], self.weight[rows], self.noise[rows], self.geometry.part(rows)
        )

    def arrays(self) -> tuple:
        """Give the arrays as the compiled loop takes them."""
        return (
            np.require(self.data, np.float32, "C"),
            np.require(self.weight, np.float64, "C"),
            np.require(self.noise, np.float64, "C"),
            np.require(self.geometry.scale, np.float64, "C"),
            np.require(self.geometry.width, np.float64, "C"),
        )
