"""What a mixture density network is trained on, kept in files: score maps and their truth.

A shard holds the score maps of a few observatories' spectra. Shards are drawn one by one from their
own seeds, written whole or not at all, and found again, so making them can be stopped at any time.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.emission import Shape
from ..kernels.scan import Sums, WeightedScan
from ..kernels.score_map import Reading, ScoreMap
from .training_spectra import draw_observatory, draw_spectra, draw_weights

OBSERVATORIES = 16
SPECTRA = 1536  # of each observatory
_UNEVEN = 0.25  # of the gratings: those whose channels have weights of their own


class Shard(NamedTuple):
    """Score maps and truth, float32; first axis (spaxel,) throughout.

    `features` and `anchors` are those of `kernels.score_map.Reading`; `half` is half the velocity
    range; the others are as `Spectra` has them.
    """

    features: NDArray[np.float32]
    anchors: NDArray[np.float32]
    velocity: NDArray[np.float32]
    broadening: NDArray[np.float32]
    snr: NDArray[np.float32]
    half: NDArray[np.float32]


def draw_shard(seed: int, index: int) -> Shard:
    """Draw one shard: the same seed and index always give the same."""
    rng = np.random.default_rng([seed, index])
    parts = []
    for _ in range(OBSERVATORIES):
        observatory = draw_observatory(rng)
        weight = None
        if observatory.emission.shape is Shape.GAUSSIAN and rng.random() < _UNEVEN:
            weight = draw_weights(observatory.coordinate.size, SPECTRA, rng)
        spectra = draw_spectra(observatory, SPECTRA, rng, weight=weight)
        found = read(observatory.score_map(), spectra.data, weight)
        half = np.full(SPECTRA, observatory.velocity[1])
        parts.append((*found, spectra.velocity, spectra.broadening, spectra.snr, half))
    columns = (np.concatenate(values).astype(np.float32) for values in zip(*parts, strict=True))
    return Shard(*columns)


def read(
    table: ScoreMap, data: NDArray[np.floating], weight: NDArray[np.floating] | None = None
) -> Reading:
    """Describe spectra of any weights; None: one everywhere."""
    if weight is None:
        return table.read(data, np.ones(len(data)))
    parts: list[Reading] = []

    def listen(rows: slice, sums: Sums, z: NDArray[np.float32]) -> None:
        parts.append(table.read_weighted(data[rows], weight[rows], (sums, z)))

    WeightedScan.of(table.shared.scan).seeds(data, weight, listen)
    return Reading(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def make_shards(folder: Path, count: int, *, seed: int) -> Iterator[Path]:
    """Give the files of `count` shards, drawing those that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / f"shard-{seed:03d}-{index:05d}.npz"
        if not path.exists():
            draft = path.with_suffix(".tmp.npz")
            np.savez(draft, **draw_shard(seed, index)._asdict())
            os.replace(draft, path)
        yield path


def load_shard(path: Path) -> Shard:
    """Read a shard."""
    with np.load(path) as held:
        return Shard(**{name: held[name] for name in Shard._fields})
