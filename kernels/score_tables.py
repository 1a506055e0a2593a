"""Tables behind a score map: the profiles about every node of a scan from those at its neighbours.

`score_map.py` says what is computed, `_score_surface.py` how the tables are packed. They take about
a tenth of a second for a class of axis and width.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ._profiles import fill_columns
from ._score_map import SPACING
from ._score_surface import ACROSS, FOUR, POINTS, ROWS, RUN, SINGULAR
from .axis import GAUSSIAN_FWHM
from .emission import Emission
from .scan import Scan, SharedScan
from .varpro import packed

Array = NDArray[np.float64]

_BESIDE = 2  # nodes of the same broadening on either side
_ACROSS = 3  # nodes of each neighbouring broadening
_NARROWEST = 0.1  # broadening where a sincgauss is computed [km/s]
_RIDGE = 1e-7
_OVERLAP = 0.1  # of columns of norm one, above which they are combined together
_TOUCH = 0.01  # the same, below which weights do not couple them
_NOTHING = 1e-7  # of a peak: beyond, a Gaussian ends


def tabulate(
    shared: SharedScan, emission: Emission, coordinate: Array, width: Array, basis: Array
) -> tuple:
    """Give the tables of a class.

    Parameters
    ----------
    shared : SharedScan
    emission : Emission
    coordinate : ndarray, shape (channel,)
    width : ndarray, shape (line,)
    basis : ndarray, shape (channel, term)
        Orthonormal continuum.
    """
    scan = shared.scan
    channels, nodes, columns = scan.profile.shape
    broadenings, level = np.unique(scan.broadening, return_inverse=True)
    lattice = _lattice(scan, broadenings, level)
    neighbour = _neighbours(scan, level, broadenings.size)
    profile = np.ascontiguousarray(scan.profile.transpose(1, 2, 0))
    flat = scan.profile.reshape(channels, -1).astype(np.float64)
    flat -= basis @ (basis.T @ flat)
    overlap = (flat.T @ flat).reshape(nodes, columns, nodes, columns)
    projected = np.ascontiguousarray(flat.T, dtype=np.float32).reshape(nodes, columns, channels)
    model = packed(replace(emission, group=np.zeros_like(emission.group)))
    exact = np.empty((ROWS * ACROSS, columns, channels), np.float32)
    start, sources, weights = [0], [], []
    gram = np.empty((nodes, columns, columns, POINTS), np.float32)
    meet = np.empty((nodes, columns, columns), np.bool_)
    for k, own in enumerate(neighbour):
        fill_columns(model, _points(scan.velocity[k], lattice[k]), coordinate, width, exact)
        products = overlap[own][:, :, own].reshape(own.size * columns, -1)
        block = _blocks(np.einsum("mimj->mij", overlap[own][:, :, own]))
        found = _combine(products, projected[own], exact, block)
        gram[k], norm = _norms(found, products)
        for j, (index, weight) in enumerate(found):
            sources.append(_padded(index, FOUR))
            weights.append(_padded((weight * norm[j]).astype(np.float32), FOUR))
            start.append(start[-1] + len(sources[-1]))
        touching = np.einsum("mic,mjc->mij", profile[own], profile[own])
        meet[k] = _near(touching, _TOUCH) | (block[:, None] == block)
    combine = np.array(start, dtype=np.int64), np.concatenate(sources), np.concatenate(weights)
    return (
        shared.lower.astype(np.float32),
        _padded(neighbour, FOUR, axis=1),
        combine,
        gram,
        _factors(gram),
        lattice,
        level == 0,
        _padded(profile, RUN, axis=2),
        _support(profile),
        meet,
        scan.basis.shape[1],
        neighbour.shape[1],
    )


def _padded(values: NDArray, multiple: int, *, axis: int = 0) -> NDArray:
    """Lengthen an axis to a multiple, with zeros."""
    rest = [(0, 0)] * values.ndim
    rest[axis] = 0, -values.shape[axis] % multiple
    return np.ascontiguousarray(np.pad(values, rest))


def _lattice(scan: Scan, broadenings: Array, level: NDArray[np.integer]) -> Array:
    """Broadenings and steps of velocity of each node's grid, shape (node, 2, row).

    Those of the narrowest nodes are even and begin at zero, the others geometric.
    """
    ratio = float(broadenings[1] / broadenings[0]) if broadenings.size > 1 else 2.0
    squared = scan.reach**2 - (GAUSSIAN_FWHM * scan.broadening) ** 2
    rows = np.empty((level.size, 2, ROWS))
    rows[:, 0] = scan.broadening[:, None] * ratio ** np.linspace(-1, 1, ROWS)
    rows[level == 0, 0] = broadenings[0] * ratio * np.linspace(0, 1, ROWS)
    rows[:, 1] = SPACING * np.sqrt(squared[:, None] + (GAUSSIAN_FWHM * rows[:, 0]) ** 2)
    return rows


def _points(velocity: float, lattice: Array) -> Array:
    """Velocity and broadening of each point of a grid, shape (point, 2)."""
    across = np.arange(ACROSS) - ACROSS // 2
    v = velocity + (lattice[1][:, None] * across).ravel()
    return np.stack([v, np.maximum(np.repeat(lattice[0], ACROSS), _NARROWEST)], axis=1)


def _neighbours(scan: Scan, level: NDArray[np.integer], levels: int) -> NDArray[np.int64]:
    """Nodes whose profiles span those about each node, itself first, (node, neighbour)."""
    found = []
    for k in range(level.size):
        own: list[int] = []
        for at, count in ((0, 2 * _BESIDE + 1), (-1, _ACROSS), (1, _ACROSS)):
            other = level[k] + at
            if not 0 <= other < levels:
                other, count = level[k], count + 2 * _BESIDE + 1
            members = np.flatnonzero(level == other)
            near = members[np.argsort(np.abs(scan.velocity[members] - scan.velocity[k]))]
            own += [int(i) for i in near[:count] if i not in own]
        found.append(own)
    fewest = min(len(own) for own in found)
    return np.array([own[:fewest] for own in found], dtype=np.int64)


def _near(products: NDArray[np.floating], least: float) -> NDArray[np.bool_]:
    """Columns whose overlap at some node, of (node, column, column), is above `least`."""
    own = np.einsum("mii->mi", products)
    norm = np.sqrt(own + 1e-6 * own.max() + 1e-30)
    return (np.abs(products) / (norm[:, :, None] * norm[:, None, :])).max(axis=0) > least


def _blocks(products: Array) -> NDArray[np.int64]:
    """Give each column the number of its group, from products (node, column, column)."""
    block = np.arange(products.shape[1])
    for i, j in zip(*np.nonzero(_near(products, _OVERLAP)), strict=True):
        block[block == block[i]] = block[j]
    return block


def _combine(
    products: Array,
    projected: NDArray[np.float32],
    exact: NDArray[np.float32],
    block: NDArray[np.int64],
) -> list[tuple[NDArray[np.int64], Array]]:
    """Of each column, which profiles make it up, and their weights of shape (profile, point)."""
    neighbours, columns, channels = projected.shape
    found = []
    for j in range(columns):
        together = np.flatnonzero(block == block[j])
        index = (np.arange(neighbours)[:, None] * columns + together).ravel()
        right = (projected.reshape(-1, channels)[index] @ exact[:, j].T).astype(np.float64)
        left = products[np.ix_(index, index)]
        ridge = _RIDGE * np.trace(left) / index.size + 1e-9 * np.trace(products) / neighbours
        weight = np.zeros((index.size, POINTS))
        weight[:, : ROWS * ACROSS] = np.linalg.solve(left + ridge * np.eye(index.size), right)
        found.append((index, weight))
    return found


def _norms(
    found: list[tuple[NDArray[np.int64], Array]], products: Array
) -> tuple[NDArray[np.float32], Array]:
    """Overlaps of the columns at every point, and what brings them to norm one: 0 without data."""
    whole = np.zeros((len(found), len(products), POINTS))
    for j, (index, weight) in enumerate(found):
        whole[j, index] = weight
    turned = np.einsum("mn,jnp->jmp", products, whole, optimize=True)
    gram = np.einsum("imp,jmp->ijp", whole, turned, optimize=True)
    squared = np.maximum(np.einsum("jjp->jp", gram), 0.0)
    least = 1e-6 * max(float(np.diag(products).max()), 1e-30)
    norm = np.where(squared > least, 1 / np.sqrt(np.maximum(squared, least)), 0.0)
    gram *= norm[:, None] * norm[None]
    gram[np.diag_indices(len(found))] = 1.0
    return gram.astype(np.float32), norm


def _factors(gram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inverse of the Cholesky factor of every point, shape (node, column, column, point)."""
    matrix = gram.transpose(0, 3, 1, 2).astype(np.float64)
    matrix = matrix + SINGULAR * np.eye(gram.shape[1])
    inverse = np.linalg.inv(np.linalg.cholesky(matrix))
    return np.ascontiguousarray(inverse.transpose(0, 2, 3, 1), dtype=np.float32)


def _support(profile: NDArray[np.float32]) -> NDArray[np.int64]:
    """First channel of every profile and the number of runs to its last, (node, column, 2)."""
    there = np.abs(profile) > _NOTHING
    first = there.argmax(axis=2)
    last = profile.shape[2] - there[:, :, ::-1].argmax(axis=2)
    runs = -(-(last - first) // RUN) * np.any(there, axis=2)
    end = -(-profile.shape[2] // RUN) * RUN
    return np.stack([np.minimum(first, end - RUN * runs), runs], axis=2)
