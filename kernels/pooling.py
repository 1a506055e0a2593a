"""The densities of adjacent spaxels as one: a prior that the spectrum itself had no part in.

A field of velocities is smooth but for its edges, so what the neighbours are likely to have is what
a spaxel is likely to have, give or take how much they differ among themselves. With the densities
p_n of N neighbours (up to eight), the linear pool

    p = (1 - e) / N sum_n p_n * N(0, S) + e w

spreads each by the scatter S of their main peaks, the median absolute deviation times 1.4826, and
keeps a share e for anything (w). The sum keeps both sides of an edge as they are, where a product
of densities would put the mean between them or outvote one side (Genest & Zidek 1986, Stat. Sci.
1, 114).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .mixture import Mixture

Array = NDArray[np.float64]

AROUND: Final = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
FEWEST: Final = 3  # neighbours with a clear peak, of which a scatter can be told
_CLEAR = 0.5  # probability of a main peak that is one
_OPEN = 0.05  # e of the docstring
_OTHERS = 8  # of the lesser peaks of all neighbours, the most likely are kept
_MAD = 1.4826  # a Gaussian's standard deviation over its median absolute deviation


def adjacent(x: NDArray[np.integer], y: NDArray[np.integer], own: int) -> NDArray[np.int64]:
    """Find the rows of the neighbours of the first `own` spaxels.

    Parameters
    ----------
    x, y : ndarray of int, shape (row,)
        Places, each once.
    own : int

    Returns
    -------
    ndarray of int64, shape (own, 8)
        -1 where there is no such row.
    """
    code = x.astype(np.int64) * (1 << 32) + y
    order = np.argsort(code)
    ranked = code[order]
    found = np.empty((own, len(AROUND)), dtype=np.int64)
    for k, (i, j) in enumerate(AROUND):
        wanted = code[:own] + i * (1 << 32) + j
        at = np.minimum(np.searchsorted(ranked, wanted), ranked.size - 1)
        found[:, k] = np.where(ranked[at] == wanted, order[at], -1)
    return found


def pool(
    densities: Mixture,
    known: NDArray[np.bool_],
    index: NDArray[np.int64],
    *,
    main: int,
    wide: int,
    narrowest: float,
) -> tuple[Mixture, NDArray[np.bool_]]:
    """Pool the densities of the neighbours of each spaxel.

    Parameters
    ----------
    densities : Mixture
        Of all rows: the first `main` components stand at one peak, the last `wide` share the range.
    known : ndarray of bool, shape (row,)
        Whose density counts.
    index : ndarray of int, shape (spaxel, neighbour)
        Rows of the neighbours, -1 for none.
    main, wide : int
    narrowest : float
        Least standard deviation of a component [km/s]: what the search for modes can see.

    Returns
    -------
    Mixture
        Of each spaxel, of neighbour + 8 + `wide` components.
    ndarray of bool, shape (spaxel,)
        False where fewer than three neighbours have a clear peak: no prior follows from them.
    """
    peak, others, rest = _summary(densities, known, main, wide)
    there = (index >= 0) & known[index]
    share = there / np.maximum(there.sum(axis=1), 1)[:, None]
    clear = there & (peak.weights[index, 0] > _CLEAR)
    enough = clear.sum(axis=1) >= FEWEST
    scatter = _scatter(peak.mean[index, 0], clear & enough[:, None])
    scatter = np.maximum(np.square(scatter), narrowest**2)
    first = peak.weights[index, 0] * share
    lesser = (others.weights[index] * share[:, :, None]).reshape(len(index), -1)
    kept = np.argsort(-lesser, axis=1, kind="stable")[:, :_OTHERS]
    row = np.arange(len(index))[:, None]
    neighbour, which = np.divmod(kept, others.weights.shape[1])
    weights = [first, lesser[row, kept]]
    means = [peak.mean[index, 0], others.mean[index[row, neighbour], which]]
    spreads = [peak.covariance[index, 0], others.covariance[index[row, neighbour], which]]
    left = 1.0 - sum(weight.sum(axis=1) for weight in weights)
    weights = [(1.0 - _OPEN) * weight for weight in weights]
    open_to = _OPEN + (1.0 - _OPEN) * np.maximum(left, 0.0)
    spreads = [spread + scatter[:, None, :, None] * np.eye(2) for spread in spreads]
    weights.append(np.repeat(open_to[:, None] / wide, wide, axis=1))
    means.append(np.einsum("sn,snkp->skp", share, rest.mean[index]))
    spreads.append(np.einsum("sn,snkpq->skpq", share, rest.covariance[index]))
    pooled = Mixture(*(np.concatenate(part, axis=1) for part in (weights, means, spreads)))
    return pooled, enough


def _summary(
    densities: Mixture, known: NDArray[np.bool_], main: int, wide: int
) -> tuple[Mixture, Mixture, Mixture]:
    """Give the main peak as one Gaussian, the lesser peaks, and what shares the range.

    Components are folded to positive broadening, which changes no density; rows that do not count
    have the weight zero.
    """
    weights = np.where(known[:, None], densities.weights, 0.0)
    mean = np.where(known[:, None, None], densities.mean, 0.0)
    spread = np.where(known[:, None, None, None], densities.covariance, np.eye(2))
    turn = np.where(mean[:, :, 1] < 0.0, -1.0, 1.0)
    mean[:, :, 1] *= turn
    spread[:, :, 0, 1] *= turn
    spread[:, :, 1, 0] *= turn
    total = weights[:, :main].sum(axis=1)
    part = weights[:, :main] / np.maximum(total, 1e-300)[:, None]
    centre = np.einsum("rk,rkp->rp", part, mean[:, :main])
    away = mean[:, :main] - centre[:, None]
    within = np.einsum("rk,rkpq->rpq", part, spread[:, :main])
    between = np.einsum("rk,rkp,rkq->rpq", part, away, away)
    peak = Mixture(total[:, None], centre[:, None], (within + between)[:, None])
    lesser = slice(main, weights.shape[1] - wide)
    others = Mixture(weights[:, lesser], mean[:, lesser], spread[:, lesser])
    return peak, others, Mixture(weights[:, -wide:], mean[:, -wide:], spread[:, -wide:])


def _scatter(peaks: Array, chosen: NDArray[np.bool_]) -> Array:
    """Scatter of peaks (spaxel, neighbour, 2), shape (spaxel, 2); zero where none counts."""
    out = np.zeros((len(peaks), 2))
    rows = np.flatnonzero(chosen.any(axis=1))
    values = np.where(chosen[rows, :, None], peaks[rows], np.nan)
    middle = np.nanmedian(values, axis=1, keepdims=True)
    out[rows] = _MAD * np.nanmedian(np.abs(values - middle), axis=1)
    return out
