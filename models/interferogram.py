"""A quadrature over an FTS's interferogram, shared by spectra that are almost alike.

A line as an FTS sees it is a cosine transform up to the largest phase step per channel, phi_max =
pi step / W (`tools/graph_lines.py`). Gauss and Legendre's rule integrates it to rounding once it
has half as many nodes as the integrand has half turns, and a few more. Spectra whose W differs a
little have the same nodes: the last stretch of phase, in which some of them end, is integrated up
to each one's end from the polynomial through its own nodes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.special import roots_legendre

Array = NDArray[np.float64]

_CLASS = 0.02  # in ln phi_max: spectra that share nodes
_BROAD = 3.2  # terms of a series that a Gaussian exp(-a^2 t^2) adds, for each a


def classes(phase: Array) -> NDArray[np.int64]:
    """Class of each largest phase, which depends on it alone."""
    return np.floor(np.log(phase) / _CLASS).astype(np.int64)


def _terms(turn: float) -> float:
    """Legendre terms of cos(`turn` x), x in [-1, 1], to rounding: Bessel functions fall beyond."""
    return turn + 9.0 * math.cbrt(turn) + 10.0


@dataclass(frozen=True, slots=True)
class Interferogram:
    """Nodes in phase per channel for one class of spectra.

    Parameters
    ----------
    nodes : ndarray, shape (node,)
        Phase per channel.
    inner : ndarray, shape (inner,)
        Weights of the first nodes.
    cosine, sine : ndarray, shape (node, pair)
        Of the phase at half, one and a half, ... channels from the middle.
    """

    nodes: Array
    inner: Array
    cosine: Array
    sine: Array
    _ends: tuple[float, float]
    _to_terms: Array

    def edge(self, phase: Array) -> Array:
        """Weights of the last nodes for spectra that end at `phase`, shape (spaxel, edge)."""
        low, high = self._ends
        unit = (2.0 * phase - low - high) / (high - low)
        terms = legendre.legvander(unit, self._to_terms.shape[1])
        whole = np.empty((phase.size, self._to_terms.shape[1]))
        whole[:, 0] = unit + 1.0
        order = np.arange(1, whole.shape[1])
        whole[:, 1:] = (terms[:, 2:] - terms[:, :-2]) / (2 * order + 1)  # int_-1^x P_n
        return whole @ self._to_terms.T * ((high - low) / 2)


def interferogram(number: int, *, pairs: int, beyond: float, sigma: float) -> Interferogram:
    """Choose nodes.

    Parameters
    ----------
    number : int
        Class of the spectra.
    pairs : int
        Half the channels.
    beyond : float
        Farthest that a line stands from the middle [channel].
    sigma : float
        Standard deviation of the broadest line [channel].

    Returns
    -------
    Interferogram
    """
    low, high = math.exp(number * _CLASS), math.exp((number + 1) * _CLASS)
    reach = pairs + beyond
    terms = _terms(reach * low / 2) + _BROAD * sigma * low / math.sqrt(2)
    first, inner = roots_legendre(math.ceil(terms / 2))
    last, weight = roots_legendre(math.ceil(_terms(reach * (high - low) / 2)))
    nodes = np.concatenate([(first + 1) * low / 2, low + (last + 1) * (high - low) / 2])
    order = np.arange(last.size)
    to_terms = legendre.legvander(last, last.size - 1) * weight[:, None] * (2 * order + 1) / 2
    phase = nodes[:, None] * (np.arange(pairs) + 0.5)
    return Interferogram(
        nodes, inner * low / 2, np.cos(phase), np.sin(phase), (low, high), to_terms
    )
