"""What the mixture density network says of a batch: columns, and where a fit should start.

The network reads the scan of each spectrum through its score map, so spectra of one class share
tables, as the scan's do. Its densities are given on each spaxel's own axis.
"""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..io.results import Column
from ..kernels import scan, score_map
from ..kernels.axis import SPEED_OF_LIGHT
from ..kernels.mixture import Mixture
from ..kernels.once import Once
from ..models.mdn import COMPONENTS, MAIN, OUTPUTS, WIDE, DensityNetwork
from .spectral_model import SpectralModel

Array = NDArray[np.float64]

COLUMNS = tuple(
    Column(name, pa.float64(), "km/s", f"{text} of the network's density, before any fit", ucd)
    for name, text, ucd in (
        ("mdn_velocity", "mean velocity", "spect.dopplerVeloc.opt;stat.mean"),
        ("mdn_velocity_sigma", "standard deviation of velocity", "stat.stdev;spect.dopplerVeloc"),
        ("mdn_broadening", "mean broadening", "phys.veloc.dispersion;stat.mean"),
        ("mdn_broadening_sigma", "standard deviation of broadening", "stat.stdev;phys.veloc"),
    )
)


class Modes(NamedTuple):
    """Places where a density is high, (spaxel, mode): the first peak, then the others."""

    weight: Array
    velocity: Array  # [km/s]
    broadening: Array  # [km/s]


class Density(NamedTuple):
    """Densities of some spaxels; NaN where there is none.

    `columns`, (spaxel, 4), are those of `COLUMNS`; `outside` marks spectra like none that the
    network was trained on.
    """

    mixture: Mixture
    columns: Array
    outside: NDArray[np.bool_]

    def modes(self) -> Modes:
        """Give where to start fits: nowhere for spectra the network does not know."""
        of = self.mixture
        known = np.where(self.outside, 0.0, 1.0)[:, None]
        weight = of.weights[:, :-WIDE] * known
        main = weight[:, :MAIN].sum(axis=1, keepdims=True)
        share = weight[:, :MAIN] / np.where(main > 0, main, 1.0)
        place = np.stack([of.mean[:, :-WIDE, 0], np.abs(of.mean[:, :-WIDE, 1])])
        first = (share * place[:, :, :MAIN]).sum(axis=2)[:, :, None]
        velocity, broadening = np.concatenate([first, place[:, :, MAIN:]], axis=2)
        return Modes(np.concatenate([main, weight[:, MAIN:]], axis=1), velocity, broadening)


class Densities:
    """The network and the score maps of a model; safe to share between threads.

    `SPAXEL_NBYTES` is what a spaxel's reading, outputs and density take while they are made.

    Parameters
    ----------
    model : SpectralModel
    device : str
        Where the network runs.
    """

    SPAXEL_NBYTES = 4 * score_map.FEATURES + 8 * COMPONENTS * (5 + 4 * OUTPUTS)

    def __init__(self, model: SpectralModel, device: str) -> None:
        self.network = DensityNetwork(device)
        self._model = model
        self._maps: Once[score_map.ScoreMap] = Once()

    @property
    def name(self) -> str:
        """Weights and provider, for the manifest."""
        card = self.network.card
        return f"{card.name} {card.version} {card.sha256[:12]}, {self.network.provider}"

    def tabulate(
        self,
        key: Hashable,
        table: scan.SharedScan | scan.WeightedScan,
        coordinate: Array,
        width: Array,
    ) -> score_map.ScoreMap:
        """Build the score map of a class, or find it.

        Parameters
        ----------
        key : hashable
            Of the class.
        table : SharedScan or WeightedScan
            Of the class.
        coordinate, width : ndarray
            Axis and line widths that the scan was built for.
        """

        def make() -> score_map.ScoreMap:
            even = table if isinstance(table, scan.SharedScan) else None
            velocity = table.scan.velocity
            return score_map.build(
                even or scan.SharedScan.of(table.scan),
                self._model.emission,
                self._model.continuum,
                coordinate,
                width,
                velocity=(float(velocity.min()), float(velocity.max())),
            )

        return self._maps.get(key, make)

    def of(self, table: score_map.ScoreMap, reading: score_map.Reading, scale: Array) -> Density:
        """Give the densities of spectra that share a score map.

        Parameters
        ----------
        table : ScoreMap
            That made the reading.
        reading : Reading
        scale : ndarray, shape (spaxel,)
            Stretches the axis of the class to the spaxel's own.
        """
        found = self.network.density(reading, table.facts[1:3])
        mean, covariance = found.mean.copy(), found.covariance.copy()
        mean[:, :, 0] = (mean[:, :, 0] + SPEED_OF_LIGHT * (1 - scale[:, None])) / scale[:, None]
        covariance[:, :, 0] /= scale[:, None, None]
        covariance[:, :, :, 0] /= scale[:, None, None]
        own = Mixture(found.weights, mean, covariance)
        return Density(own, np.stack(own.moments(), axis=1), self.network.out_of_range(reading))


def no_reading(spaxels: int) -> score_map.Reading:
    """Give the reading of spectra without data."""
    return score_map.Reading(
        np.full((spaxels, score_map.FEATURES), np.nan, np.float32),
        np.full((spaxels, score_map.ANCHORS, 6), np.nan),
    )
