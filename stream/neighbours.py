"""The prior `neighbours`: what the network says of the adjacent spaxels, pooled.

A batch brings the spaxels around it along (`SpectralBatch.around`), so a row has the same
neighbours however the cube is cut into batches. They are read and seen by the network once more
than they are fitted; nothing else is done to them.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from ..io.records import SpectralBatch
from ..kernels import pooling
from ..kernels.mixture import Mixture
from ..models.mdn import COMPONENTS, MAIN, WIDE
from .densities import Density
from .posterior_rows import Informed

Seen = Callable[[SpectralBatch], Iterable[tuple[NDArray, Density, float]]]

_PART = 0.4  # of the scan's step: narrower peaks of a prior would fall between its nodes


def from_neighbours(batch: SpectralBatch, seen: Seen) -> Informed:
    """Give every spaxel of a batch the prior that its neighbours make.

    Parameters
    ----------
    batch : SpectralBatch
    seen : callable
        Gives, part by part, rows of a batch, their densities, and the step of their scan [km/s].
    """
    own, step = _gather(batch, seen)
    around = None if batch.around is None else _gather(batch.around, seen)[0]
    return pooled(batch, own, around, step)


def _gather(batch: SpectralBatch, seen: Seen) -> tuple[Density, float]:
    """Densities of all spaxels of a batch, NaN where there is none; the least step [km/s]."""
    shape, step = (len(batch), COMPONENTS), np.inf
    weights, mean = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    covariance = np.full((*shape, 2, 2), np.nan)
    columns, outside = np.full((len(batch), 4), np.nan), np.ones(len(batch), dtype=bool)
    for rows, density, own in seen(batch):
        mixture = density.mixture
        weights[rows], mean[rows], covariance[rows] = (
            mixture.weights,
            mixture.mean,
            mixture.covariance,
        )
        columns[rows], outside[rows], step = density.columns, density.outside, min(step, own)
    return Density(Mixture(weights, mean, covariance), columns, outside), step


def pooled(batch: SpectralBatch, own: Density, around: Density | None, step: float) -> Informed:
    """Pool the densities of the neighbours of every spaxel of a batch.

    Parameters
    ----------
    batch : SpectralBatch
    own : Density
        Of the batch, in its order.
    around : Density or None
        Of `batch.around`; None where there is nothing around.
    step : float
        Of the scan's velocities, the least [km/s].

    Returns
    -------
    Informed
        Known where three neighbours or more have a clear velocity.
    """
    parts, places = [own], [(batch.x, batch.y)]
    if around is not None and batch.around is not None:
        parts.append(around)
        places.append((batch.around.x, batch.around.y))
    x, y = (np.concatenate(values) for values in zip(*places, strict=True))
    mixtures = [part.mixture for part in parts]
    densities = Mixture(
        *(
            np.concatenate([getattr(mixture, name) for mixture in mixtures])
            for name in ("weights", "mean", "covariance")
        )
    )
    seen = np.concatenate([~part.outside & np.isfinite(part.columns).all(axis=1) for part in parts])
    index = pooling.adjacent(x, y, len(batch))
    return Informed(
        *pooling.pool(densities, seen, index, main=MAIN, wide=WIDE, narrowest=_PART * step)
    )
