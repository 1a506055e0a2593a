"""The prior `neighbours`: what the network says of the adjacent spaxels, pooled.

A batch brings the spaxels around it along (`SpectralBatch.around`), so a row has the same
neighbours however the cube is cut into batches. They are read and seen by the network once more
than they are fitted; nothing else is done to them.
"""

import numpy as np

from ..io.records import SpectralBatch
from ..kernels import pooling
from ..kernels.mixture import Mixture
from ..models.mdn import COMPONENTS, MAIN, WIDE
from .densities import Density
from .posterior_rows import Informed

_PART = 0.4  # of the scan's step: narrower peaks of a prior would fall between its nodes


def no_density(spaxels: int) -> Density:
    """Give the densities of spectra that no network has seen."""
    shape = spaxels, COMPONENTS
    mixture = Mixture(
        np.full(shape, np.nan), np.full((*shape, 2), np.nan), np.full((*shape, 2, 2), np.nan)
    )
    return Density(mixture, np.full((spaxels, 4), np.nan), np.ones(spaxels, dtype=bool))


def put(into: Density, rows: np.ndarray, part: Density) -> None:
    """Take over the densities of some rows."""
    mine, theirs = into.mixture, part.mixture
    mine.weights[rows], mine.mean[rows] = theirs.weights, theirs.mean
    mine.covariance[rows] = theirs.covariance
    into.columns[rows], into.outside[rows] = part.columns, part.outside


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
