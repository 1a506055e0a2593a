"""What the X-ray density network is trained on, kept in files: clusters deconvolved, and truths.

A shard holds what the recurrent inference machine made of a few thousand simulated clusters. Shards
are drawn one by one from their own seeds and written whole or not at all; their names tell the
machine they were made with, so that another one finds none of them.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..io.observations import Response
from ..kernels.plasma import PlasmaTable
from ..models.rim import Rim
from .xray_batches import Simulator
from .xray_clusters import Observed, Ranges, coordinates, draw_clusters, observe
from .xray_responses import Instrument

Single = NDArray[np.float32]

RESPONSES, EACH = 40, 50  # of a shard, and clusters with each


class Shard(NamedTuple):
    """Deconvolved clusters, float32; first axis (cluster,) throughout.

    `log_flux` and `sigma`, shape (cluster, energy), are a machine's; `counts` and `background` are
    totals, the latter as an observer estimates it; `truth`, shape (cluster, 6), are coordinates as
    of `xray_clusters.coordinates`, the last two NaN where `plasmas` is one.
    """

    log_flux: Single
    sigma: Single
    counts: Single
    background: Single
    redshift: Single
    plasmas: Single
    truth: Single

    def part(self, rows: NDArray) -> "Shard":
        """Give some clusters."""
        return Shard(*(values[rows] for values in self))


def joined(shards: Sequence[Shard]) -> Shard:
    """Put shards into one."""
    return Shard(*(np.concatenate(values) for values in zip(*shards, strict=True)))


def deconvolved(rim: Rim, observed: Observed) -> Shard:
    """Deconvolve observations; those without a photon are left out."""
    rows = len(observed.counts)
    response = np.broadcast_to(observed.response, (rows, *observed.response.shape))
    found = rim.deconvolve(observed.counts, response, observed.background)
    truth = observed.truth
    columns = (
        found.log_flux,
        found.log_flux_sigma,
        observed.counts.sum(axis=1),
        observed.background.sum(axis=1),
        truth.redshift,
        truth.plasmas,
        coordinates(truth.values),
    )
    shard = Shard(*(values.astype(np.float32) for values in columns))
    return shard.part(np.flatnonzero(np.isfinite(shard.log_flux[:, 0])))


def draw_shard(
    rim: Rim,
    simulator: Simulator,
    *,
    instruments: Sequence[Instrument] | None = None,
    each: int = EACH,
    ranges: Ranges | None = None,
    plasmas: int | None = None,
) -> Shard:
    """Draw clusters and deconvolve them.

    Parameters
    ----------
    rim : Rim
    simulator : Simulator
        Its generator draws everything.
    instruments : sequence of Instrument, optional
        `RESPONSES` of the simulator's where None.
    each : int
        Clusters with each.
    ranges, plasmas
        As of `draw_clusters`.
    """
    used = instruments or [simulator.instrument() for _ in range(RESPONSES)]
    parts = []
    for instrument in used:
        clusters = draw_clusters(simulator.generator, each, ranges=ranges, plasmas=plasmas)
        parts.append(deconvolved(rim, observe(simulator, instrument, clusters)))
    return joined(parts)


class ShardMaker(NamedTuple):
    """What shards are made with.

    Parameters
    ----------
    folder : Path
    rim : Rim
    table : PlasmaTable
    responses : sequence of Response
        As of `Simulator`.
    """

    folder: Path
    rim: Rim
    table: PlasmaTable
    responses: Sequence[Response]

    @property
    def machine(self) -> str:
        """What tells a machine from others in the names of files."""
        return self.rim.card.sha256[:12]

    def shards(self, count: int, *, seed: int) -> Iterator[Path]:
        """Give the files of `count` shards, drawing those that are not there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            path = self.folder / f"clusters-{self.machine}-{seed:03d}-{index:05d}.npz"
            if not path.exists():
                generator = np.random.default_rng([seed, index])
                simulator = Simulator(self.table, self.responses, generator, keep=0)
                draft = path.with_suffix(".tmp.npz")
                np.savez(draft, **draw_shard(self.rim, simulator, each=EACH)._asdict())
                os.replace(draft, path)
            yield path


def load_shard(path: Path) -> Shard:
    """Read a shard."""
    with np.load(path) as held:
        return Shard(**{name: held[name] for name in Shard._fields})
