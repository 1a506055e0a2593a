"""Few functions that span every profile of a line: what lets a spectrum shrink to a few numbers.

On an evenly spaced axis a line is f(i - p; s, W): position p, standard deviation s and width W of
the instrument, all in channels, and it looks the same wherever it stands. Within `REACH` channels
of the origin its profiles are, to a few parts in a thousand, combinations of `RANK` orthonormal
functions P_r, the leading singular vectors of a family of them:

    f(x - delta; s, W) = sum_r h_r(delta, s; W) P_r(x),   h_r = <P_r, f>.

A line at position p is put on the nearest of `PHASES` places per channel and delta is what is left.
The P_r are tabulated there; `h` is a bicubic spline in delta and tau = asinh(s / s_0) at a few
nodes of W. A sinc's wings turn so fast with W that each class of widths, `CLASS` wide in ln W, has
functions of its own. A Gaussian depends on its total standard deviation alone and has one class.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.ndimage import spline_filter1d

from .emission import Shape
from .profile import GAUSSIAN, SINC, gaussian_row, sinc_row, sincgauss_row, turns

Array = NDArray[np.float64]
Single = NDArray[np.float32]

RANK: Final = 16  # one vector register of float32: compiled loops have it written out
PHASES: Final = 4  # places of a line per channel
REACH: Final = 0.75  # channels between a line and its place
CLASS: Final = 2e-3  # in ln W
WIDTHS: Final = 9  # nodes of W in a class

DELTA_NODES: Final = 13  # of the tables, one beyond either end
TAU_NODES: Final = 42

TURN: Final = 5.0  # s / s_0 where nodes begin to spread

_DELTA_STEP = 2 * REACH / (DELTA_NODES - 3)  # channels
_PAD = 6  # nodes beyond the range, whence the spline's own boundary does not reach back
_OFFSETS, _BROADENINGS = 7, 20  # that functions are trained on
_BROAD = 3.0  # widths of the instrument beyond which a line counts less in the training
_ROUNDING = 1e-14  # of the largest eigenvalue: functions below are rounding alone


@dataclass(frozen=True, slots=True)
class Basis:
    """Functions of one class of widths and the coefficients of profiles in them.

    Parameters
    ----------
    vectors : ndarray of float32, shape (phase, offset, rank)
        P_r at ``offset - half - phase / PHASES`` channels.
    table : ndarray of float32, shape (width, delta, tau, rank)
        Spline coefficients; delta and tau start one node before their range.
    widths : ndarray, shape (width,)
        Nodes of W [channels]; a single zero for a Gaussian.
    grid : tuple of float
        s_0, first node and step of delta, first node, step and end of tau.
    """

    vectors: Single
    table: Single
    widths: Array
    grid: tuple[float, float, float, float, float, float]

    @property
    def half(self) -> int:
        """Channels on either side of the origin."""
        return self.vectors.shape[1] // 2

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self.vectors.nbytes + self.table.nbytes


def width_class(shape: Shape, width: Array) -> NDArray[np.int64]:
    """Class of each width [channels]."""
    if shape is Shape.GAUSSIAN:
        return np.zeros(width.shape, dtype=np.int64)
    return np.rint(np.log(width) / CLASS).astype(np.int64)


def build_basis(shape: Shape, index: int, sigma: tuple[float, float], half: int) -> Basis:
    """Train the functions of a class of widths and tabulate profiles in them.

    Parameters
    ----------
    shape : Shape
        Line shape.
    index : int
        Class of widths, see `width_class`.
    sigma : (float, float)
        Least and largest standard deviation [channels]: of a Gaussian in all, else of the line
        alone, where the least is zero.
    half : int
        Channels on either side of a line that are ever asked for.

    Returns
    -------
    Basis
    """
    gaussian = shape is Shape.GAUSSIAN
    centre = 1.0 if gaussian else math.exp(index * CLASS)
    logs = 0.5 * CLASS * np.linspace(-1.0, 1.0, WIDTHS)
    widths = np.zeros(1) if gaussian else centre * np.exp(logs)
    unit = 0.5 * (sigma[0] if gaussian else centre)
    low, high = (0.0, 0.0) if shape is Shape.SINC else _tau(np.array(sigma) / unit)
    tau = np.linspace(low, high, _BROADENINGS if high > low else 1)
    offsets = np.linspace(-REACH, REACH, _OFFSETS)
    family = np.array([(d, s, w) for d in offsets for s in unit * _wide(tau) for w in widths[::4]])
    fine = 0.5 * np.arange(
        -2.0 * half, 2.0 * half + 1
    )  # a narrow Gaussian would alias on whole channels
    mixture = _principal(
        _profiles(shape, family, fine), 1.0 / (1.0 + np.square(family[:, 1] / (_BROAD * centre)))
    )
    whole = np.arange(-half, half + 1, dtype=np.float64)
    vectors = [mixture @ _profiles(shape, family, whole - p / PHASES) for p in range(PHASES)]
    functions = mixture @ _profiles(shape, family, fine)
    spacing = float(high - low) / (TAU_NODES - 3)
    grid = (float(unit), -REACH, _DELTA_STEP, float(low), spacing, float(high))
    return Basis(
        vectors=np.ascontiguousarray(np.transpose(vectors, (0, 2, 1)), dtype=np.float32),
        table=np.stack([_coefficients(shape, functions, fine, width, grid) for width in widths]),
        widths=widths,
        grid=grid if high > low else (*grid[:4], 1.0, grid[5]),
    )


def _tau(wide: Array) -> Array:
    """Turn s / s_0 into the tables' coordinate: even steps for narrow lines, growing for broad."""
    return wide / (1.0 + wide / TURN)


def _wide(tau):
    return tau / (1.0 - tau / TURN)


def _principal(profiles: Array, importance: Array) -> Array:
    """Mixture of the family that gives its functions, orthonormal over whole channels."""
    weighed = importance[:, None] * profiles
    gram = weighed @ weighed.T / 2  # two samples a channel
    size = len(gram)
    value, vector = eigh(gram, subset_by_index=[max(0, size - RANK), size - 1])
    sound = value > _ROUNDING * value[-1]
    mixture = np.zeros((RANK, size))
    scale = np.where(sound, 1.0 / np.sqrt(np.where(sound, value, 1.0)), 0.0)
    mixture[: len(value)] = (scale * vector).T[::-1] * importance
    return mixture


def _coefficients(shape: Shape, functions: Array, fine: Array, width: float, grid: tuple) -> Single:
    """Spline coefficients of h over delta and tau for one width."""
    unit, first, step, low, tau_step, _ = grid
    delta = first + step * np.arange(-_PAD, DELTA_NODES - 2 + _PAD)
    tau = low + tau_step * np.arange(-_PAD, TAU_NODES - 2 + _PAD)
    nodes = np.array([(d, unit * _wide(abs(x)), width) for d in delta for x in tau])
    h = np.empty((len(nodes), RANK))
    for start in range(0, len(nodes), 256):
        part = slice(start, start + 256)
        h[part] = _profiles(shape, nodes[part], fine) @ functions.T / 2
    h = h.reshape(delta.size, tau.size, RANK)
    for axis in (0, 1):
        h = spline_filter1d(h, 3, axis=axis, mode="mirror")
    kept = slice(_PAD - 1, 1 - _PAD)
    return np.ascontiguousarray(h[kept, kept], dtype=np.float32)


def _profiles(shape: Shape, members: Array, at: Array) -> Array:
    """Profiles of (delta, s, W) at evenly spaced `at`, shape (member, at.size)."""
    out = np.empty((len(members), at.size))
    _tabulate(int(shape), members, at, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _tabulate(shape, members, at, out):  # pragma: no cover - compiled
    cosine, sine, weight = np.empty(at.size), np.empty(at.size), np.ones(at.size)
    step, last = at[1] - at[0], 0.0
    for m in range(len(members)):
        delta, sigma, width = members[m, 0], members[m, 1], members[m, 2]
        if shape == GAUSSIAN:
            gaussian_row(at, delta, max(sigma, 1e-6), weight, out[m])
            continue
        to_u = math.pi / width
        if width != last:
            turns(step * to_u, cosine, sine)
            last = width
        u0, waves = (at[0] - delta) * to_u, (cosine, sine)
        if shape == SINC:
            sinc_row(u0, step * to_u, waves, weight, out[m])
        else:
            a = max(sigma * to_u / math.sqrt(2.0), 1e-3)
            sincgauss_row(u0, step * to_u, a, waves, weight, out[m])
