"""Posteriors of the optical stage: from the fits of a class of spaxels to columns.

The fit's minimum and covariance say where to look first, the scan's tables serve as the coarse map,
and the noise is that of the finished fit. Spectra of even weights go over the reduced basis where
the fit did, any others over exact profiles.

The network has seen the spectrum: its density is a prior only once its standard deviations are
multiplied, by ten say, which leaves it a hundredth of the information. The densities of the
adjacent spaxels are of other data and need no such factor (`neighbours.py`). Where neither is known
the prior is flat.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..io.errors import InputError
from ..io.posterior_columns import posterior_columns
from ..io.results import Column
from ..kernels import posterior, scan, varpro
from ..kernels.emission import Shape
from ..kernels.mixture import Mixture
from ..kernels.once import Once
from ..kernels.pooling import FEWEST
from ..kernels.posterior_map import PosteriorMap
from ..kernels.reduced import ReducedEngine
from .config import OpticalConfig
from .densities import Density
from .noise import is_even
from .spectral_model import SpectralModel

Array = NDArray[np.float64]
Tables = Callable[[type], Any]

_HONEST = 3.0  # factor on sigmas below which a density is more than a tenth of the data again
_ROUGH = 0.02  # share of the mass that may have been missed before a row is marked


class Informed(NamedTuple):
    """Priors of velocity and broadening of some spaxels; flat where `known` is False."""

    mixture: Mixture
    known: NDArray[np.bool_]

    def part(self, rows: NDArray) -> "Informed":
        """Give some spaxels."""
        return Informed(self.mixture.part(rows), self.known[rows])


class PosteriorRows:
    """Posteriors of spectra of one model; safe to share between threads.

    Parameters
    ----------
    model : SpectralModel
        Of one kinematic group.
    unit : str
        Of the data.
    engine : ReducedEngine or None
        That of the fits.
    config : OpticalConfig
        Says which prior.

    Raises
    ------
    InputError
        If the network of the prior does not know such lines.
    """

    def __init__(
        self,
        model: SpectralModel,
        unit: str,
        engine: ReducedEngine | None,
        config: OpticalConfig,
    ) -> None:
        if config.prior == "neighbours" and model.emission.shape is Shape.SINC:
            raise InputError(
                "--prior neighbours needs the network, which knows no lines of --ils sinc; give "
                "--prior flat"
            )
        self.model, self._engine, self._config = model, engine, config
        self.columns: list[Column] = posterior_columns(model.emission.names, unit)
        self._maps: Once[PosteriorMap] = Once()

    @property
    def prior(self) -> str:
        """Say what the prior is."""
        box = self.model.bounds
        flat = "flat over velocity {:g} to {:g} and broadening {:g} to {:g} km/s".format(
            *box.velocity, *box.broadening
        )
        if self._config.prior == "neighbours":
            return (
                "network's densities of the adjacent spaxels, widened by their scatter; where it "
                f"knows fewer than {FEWEST} clear ones, {flat}"
            )
        if self._config.prior != "mdn":
            return flat
        factor = self._config.prior_width
        return f"network's density, sigmas times {factor:g}; where it knows none, {flat}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Warn of a prior that counts the data again."""
        if self._config.prior != "mdn" or self._config.prior_width >= _HONEST:
            return ()
        return (
            f"--prior-width {self._config.prior_width:g}: the network has seen the spectra, so the "
            "posteriors count them twice and are too narrow; the default is 10",
        )

    @property
    def neighbourly(self) -> bool:
        """Whether priors come from the adjacent spaxels."""
        return self._config.prior == "neighbours"

    def from_network(self, density: Density | None) -> Informed | None:
        """Widen what the network says of the spectra themselves; None where it is no prior."""
        if density is None or self._config.prior != "mdn":
            return None
        known = ~density.outside & np.isfinite(density.columns).all(axis=1)
        return Informed(density.mixture.widened(self._config.prior_width), known)

    @property
    def width(self) -> int:
        """Numbers per spaxel: the columns, then whether the integration was sound."""
        return len(self.columns) + 1

    def integrate(
        self,
        data: NDArray[np.floating],
        weight: Array,
        fit: varpro.Fit,
        noise: Array,
        geometry: varpro.Geometry,
        tables: Tables,
        prior: Informed | None = None,
    ) -> Array:
        """Integrate the posteriors of the spectra of one class.

        Parameters
        ----------
        data : ndarray, shape (spaxel, channel)
        weight : ndarray, shape (spaxel, channel)
            One over the standard deviation, with the final noise; zero leaves a channel out.
        fit : Fit
            Of the same spectra.
        noise : ndarray, shape (spaxel,)
            Typical standard deviation of a channel.
        geometry : Geometry
        tables : callable
            Gives the tables of a kind of scan, `SharedScan` or `WeightedScan`, of the class.
        prior : Informed, optional
            Flat without it.

        Returns
        -------
        ndarray, shape (spaxel, `width`)
        """
        out = np.full((len(data), self.width), np.nan)
        start = np.concatenate(
            [fit.velocity, fit.broadening, posterior.conditional_sigmas(fit.covariance)], axis=1
        )
        even = weight[:, 0] > 0
        if not is_even(weight):
            even &= (weight == weight[:, :1]).all(axis=1)
        uneven = ~even & (weight > 0).any(axis=1)
        known = np.zeros(len(data), dtype=bool) if prior is None else prior.known
        for chosen, informed in itertools.product((even, uneven), (known, ~known)):
            rows = np.flatnonzero(chosen & informed)
            if rows.size == 0:
                continue
            shared = chosen is even
            kind = scan.SharedScan if shared else scan.WeightedScan
            mixture = prior.mixture.part(rows) if prior and informed is known else None
            found = posterior.integrate(
                data[rows],
                weight[rows, :1] if shared else weight[rows],
                noise[rows],
                self.model.emission,
                self.model.continuum,
                geometry.part(rows),
                start=start[rows],
                bounds=self.model.bounds,
                coarse=self._map(kind, tables),
                prior=mixture,
                amplitudes=self.amplitudes(data.shape[1]),
                engine=self._engine if shared else None,
                probe=self.probe(rows),
            )
            out[rows] = self.numbers(found, rows)
        return out

    def amplitudes(self, channels: int) -> posterior.Amplitudes:
        """Give the prior of amplitudes, of the information of one channel."""
        return posterior.Amplitudes(float(np.sqrt(channels)), positive=self._config.positive)

    def probe(self, rows: NDArray[np.int64]) -> Array | None:
        """Give where the cumulative distributions of some spectra are wanted, see `integrate`."""
        return None

    def numbers(self, found: posterior.Posterior, rows: NDArray[np.int64]) -> Array:
        """Put posteriors into the order of the columns, shape (spaxel, `width`)."""
        fluxes = np.stack([found.flux, found.flux_sigma], axis=-1)
        missed = np.where(found.complete, found.outside, 1.0)
        return np.concatenate(
            [
                np.stack([*found.velocity, *found.broadening, found.log_evidence], axis=1),
                fluxes.reshape(len(rows), -1),
                missed[:, None],
            ],
            axis=1,
        )

    def named(self, numbers: Array) -> dict[str, NDArray]:
        """Give the columns by name."""
        return {column.name: numbers[:, index] for index, column in enumerate(self.columns)}

    def rough(self, numbers: Array) -> NDArray[np.bool_]:
        """Tell whose integration may have missed something, shape (spaxel,)."""
        return np.nan_to_num(numbers[:, -1]) > _ROUGH

    def _map(self, kind: type, tables: Tables) -> PosteriorMap:
        """Cut the cells of a scan, or find them."""
        table = tables(kind)
        name = "shared" if kind is scan.SharedScan else "weighted"

        def make() -> PosteriorMap:
            return PosteriorMap.of(table.scan, self.model.bounds, **{name: table})

        return self._maps.get((id(table), kind), make)
