"""The optical recipe: noise, seed by scan, batched fit, columns, for one batch of spectra.

Spaxels of a batch are fitted in classes (`spaxel_classes.py`), so that they share the tables of the
scan. Neither batches nor threads change a result.
"""

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..io.records import BatchKey, CubeHeader, SpectralBatch
from ..io.results import arrow_schema, optical_columns
from ..kernels import scan, varpro
from ..kernels.axis import SPEED_OF_LIGHT
from ..kernels.emission import Shape
from ..kernels.once import Once
from ..kernels.scatter import runs_of, scatter
from ..kernels.score_map import Reading, ScoreMap
from ..models.fit_graph import Fitter
from .component_fits import add_components
from .component_rows import Case, ComponentRows, choose_rows, keys_of
from .component_starts import Starts
from .config import OpticalConfig
from .densities import COLUMNS, Densities, Density, no_reading
from .explained import Explained
from .neighbours import from_neighbours
from .noise import (
    choose_noise,
    even,
    even_weights,
    is_even,
    rough_noise,
    take,
    typical_noise,
    weights,
)
from .optical_rows import Fitted, promising, record_batch
from .posterior_rows import Informed, PosteriorRows
from .reduced_fitter import ReducedFitter, worthwhile
from .spaxel_classes import SCALE_CLASS, SpaxelClass, classes_of
from .spectral_model import build_model, with_components
from .starts import fit_from_seeds

Array = NDArray[np.float64]

_WINGS_SNR = 40.0  # the wings of fainter lines raise the scatter of dark channels below 0.4 %
_ROUGH = 3.0  # residuals over the scatter of neighbours: a good fit has up to 1.3
_Scan = TypeVar("_Scan", scan.SharedScan, scan.WeightedScan)


class OpticalRecipe:
    """Fits every spectrum of a cube.

    Parameters
    ----------
    header : CubeHeader
        Of the cube.
    config : OpticalConfig
        What the user asked for.
    fitter : Fitter
        What fits a batch: the compiled loops, which give way to the reduced basis where that pays,
        or a graph on a device.
    device : str
        Where the mixture density network runs.
    seed : int
        Of the random numbers of sampled posteriors.

    Raises
    ------
    InputError
        If header and options do not fit together.
    """

    def __init__(
        self,
        header: CubeHeader,
        config: OpticalConfig,
        fitter: Fitter = varpro.fit,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.model = build_model(header, config)
        most = 2 if config.components == "auto" else int(config.components)
        self.full = self.model if most == 1 else with_components(self.model, most)
        self._choose, self._seed = config.components == "auto", seed
        self.noise = choose_noise(header, self.model, config.noise)
        kind, shape = self.noise.kind, header.shape
        tables = worthwhile(self.model, kind, shape, config.region, bayes=config.bayes)
        self.fitter = ReducedFitter(self.model) if fitter is varpro.fit and tables else fitter
        emission = self.model.emission
        self.notes = self.model.notes
        columns = optical_columns(emission.names, header.unit, emission.groups, most)
        self.densities = None
        if not config.no_mdn and emission.shape is not Shape.SINC:
            self.densities = Densities(self.model, device)
            columns += COLUMNS
        self.posterior = choose_rows(header, self.model, most, self.fitter, config)
        if self.posterior is not None:
            columns += self.posterior.columns
            self.notes += self.posterior.notes
        self.schema = arrow_schema(
            columns,
            {
                "lines": ",".join(emission.names),
                "ils": emission.shape.name.lower(),
                "noise": self.noise.kind,
                "redshift": repr(self.model.redshift),
                "velocity": "optical, c dlambda / lambda0",
                "mdn": self.densities.name if self.densities else "none",
                "prior": self.posterior.prior if self.posterior else "none",
            },
        )
        self._nodes: Once[scan.Scan] = Once()
        self._scans: Once[scan.SharedScan | scan.WeightedScan] = Once()

    @property
    def spaxel_work_nbytes(self) -> int:
        """Memory the fit of one spaxel takes beside its batch [bytes]."""
        channels = int(self.model.coordinate.size)
        fitted = int(np.count_nonzero(self.model.window_channels(1.0))) or channels
        emission = self.full.emission
        parameters = emission.columns + self.model.continuum.terms + 2 * emission.groups
        density = 0 if self.densities is None else Densities.SPAXEL_NBYTES
        fits = 3 * self.full.components
        return 8 * (channels + fits * (fitted + parameters**2)) + density

    def prepare(self) -> None:
        """Compile the kernels on a few spectra of the model itself."""
        channels = self.model.coordinate.size
        corr = np.full(4, 1.03) if self.model.widened or self.model.stretched else None
        data = np.random.default_rng(0).normal(size=(4, channels)).astype(np.float32)
        variance = np.ones_like(data) if self.noise.kind == "variance" else None
        imaginary = data[::-1].copy() if self.noise.kind == "imaginary" else None
        stretch = 1.03 if self.model.stretched else 1.0
        lines = self.model.emission.rest / stretch
        data[:2, np.searchsorted(self.model.coordinate, lines).clip(0, channels - 1)] += 100.0
        data[3, ::5] = np.nan
        index = np.arange(4, dtype=np.int32)
        key = BatchKey("warm-up", 0, 4)
        self.fit(SpectralBatch(key, index, index, data, corr, variance, imaginary))

    def fit(self, batch: SpectralBatch) -> pa.RecordBatch:
        """Give one row for every spectrum of a batch, in its order."""
        fitted = self._fit_all(batch)
        return record_batch(self.schema, batch, self.full, fitted, self.posterior)

    def _fit_all(self, batch: SpectralBatch) -> Fitted:
        width = 0 if self.posterior is None else self.posterior.width
        fitted = Fitted.empty(len(batch), self.full, width)
        prior = None
        if isinstance(self.posterior, PosteriorRows) and self.posterior.neighbourly:
            prior = from_neighbours(batch, self._seen)
        for members in classes_of(self.model, batch):
            for part, data, weight, noise in self._weighted(batch, members):
                own = prior.part(part.rows) if prior else None
                fitted.put(part.rows, self._fit_part(batch, part, data, weight, noise, own))
        return fitted

    def _seen(self, batch: SpectralBatch) -> Iterator[tuple[NDArray, Density, float]]:
        """Rows seen by the network together, their densities and their scan's step [km/s]."""
        for members in classes_of(self.model, batch):
            for part, data, weight, _ in self._weighted(batch, members):
                density = self._seeds(part, data, weight)[1]
                assert density is not None
                yield part.rows, density, float(self._score_map(part).shared.scan.step.min())

    def _weighted(
        self, batch: SpectralBatch, members: SpaxelClass
    ) -> Iterator[tuple[SpaxelClass, NDArray, NDArray, Array]]:
        """Spectra of a class, their weights and noise; those of even weights come by themselves."""
        data = take(batch.data, members.rows, members.channels)
        if self.noise.kind == "variance":
            weight = weights(batch, members.rows, members.channels)
            yield members, data, weight, typical_noise(weight)
            return
        noise = self._first_noise(batch, members, data)
        total = data @ np.ones(data.shape[1], dtype=data.dtype)
        whole = np.isfinite(total) & (noise > 0)
        if whole.all():
            yield members, data, even(data, noise), noise
            return
        partly = ~whole & np.isfinite(data).any(axis=1)
        for rows, weigh in ((whole, even), (partly, even_weights)):
            chosen = np.flatnonzero(rows)
            if chosen.size:
                own = data[chosen], noise[chosen]
                yield members.part(chosen), own[0], weigh(*own), own[1]

    def _fit_part(
        self,
        batch: SpectralBatch,
        members: SpaxelClass,
        data: NDArray,
        weight: NDArray,
        noise: Array,
        prior: Informed | None,
    ) -> Fitted:
        """Fit spectra that share the tables of a scan; `prior` is of their neighbours."""
        seeds, density = self._seeds(members, data, weight)
        geometry = members.geometry(self.model)
        modes = density.modes() if density else None
        one = fit_from_seeds(data, weight, self.model, geometry, seeds, self.fitter, modes)
        if density:
            one.outside = density.outside
            one.density = np.where(density.outside[:, None], np.nan, density.columns)
        one.noise = noise
        if not is_even(weight):
            one.dropped = (weight == 0).any(axis=1)
        fitted, chain = one, []
        if self.full.components > 1:
            starts = Starts(
                self.model, geometry, seeds, modes, lambda *of: self._scanned(members, *of)
            )
            chain = add_components(
                data,
                weight,
                one,
                starts,
                self.fitter,
                count=self.full.components,
                wanted=promising(one, self.model) | (not self._choose),
            )
            fitted = chain[-1].fitted
        if self.noise.kind != "variance":
            noise = self._last_noise(batch, members, fitted)
            for fits in (one, *chain):
                fits.rescale(noise)
        if self.posterior is None:
            return fitted
        if self.noise.kind != "variance":
            weight = (even if is_even(weight) else even_weights)(data, fitted.noise)

        def tables(kind: type) -> scan.SharedScan | scan.WeightedScan:
            return self._table(kind, members)

        if isinstance(self.posterior, ComponentRows):
            keys = keys_of(batch, members.rows, self._seed)
            case = Case(data, weight, fitted.noise, geometry, tables, keys)
            return self.posterior.finish(case, one, chain)
        prior = prior or self.posterior.from_network(density)
        fitted.posterior = self.posterior.integrate(
            data, weight, fitted.fit, fitted.noise, geometry, tables, prior
        )
        return fitted

    def _seeds(
        self, members: SpaxelClass, data: NDArray, weight: NDArray
    ) -> tuple[scan.Seeds, Density | None]:
        """Scan the spectra of one class; velocities are on each spaxel's own axis."""
        reading = no_reading(len(data)) if self.densities else None
        seeds = self._scanned(members, data, weight, reading)
        if self.densities is None or reading is None:
            return seeds, None
        return seeds, self.densities.of(self._score_map(members), reading, members.scale)

    def _scanned(
        self,
        members: SpaxelClass,
        data: NDArray,
        weight: NDArray,
        reading: Reading | None = None,
    ) -> scan.Seeds:
        """Scan spectra; velocities are on each spaxel's own axis."""
        if is_even(weight):
            table = self._table(scan.SharedScan, members)
            listen = self._listener(members, table, data, weight, reading)
            seeds = table.seeds(data, 1 / weight[:, 0], listen)
        else:
            table = self._table(scan.WeightedScan, members)
            listen = self._listener(members, table, data, weight, reading)
            seeds = table.seeds(data, weight, listen)
        for velocity in (seeds.velocity, seeds.second_velocity):
            velocity[:] = SPEED_OF_LIGHT * ((1 + velocity / SPEED_OF_LIGHT) / members.scale - 1)
            np.clip(velocity, *self.model.bounds.velocity, out=velocity)
        return seeds

    def _listener(
        self,
        members: SpaxelClass,
        table: scan.SharedScan | scan.WeightedScan,
        data: NDArray,
        weight: NDArray,
        reading: Reading | None,
    ) -> scan.Listener | None:
        """Give what fills `reading` while the scan goes over its blocks."""
        if reading is None:
            return None
        score_map = self._score_map(members)

        def listen(rows: slice, first: Any, second: NDArray) -> None:
            if isinstance(table, scan.SharedScan):
                found = score_map.read_projected(first, second)
            else:
                found = score_map.read_weighted(data[rows], weight[rows], (first, second))
            for into, values in zip(reading, found, strict=True):
                into[rows] = values

        return listen

    def _score_map(self, members: SpaxelClass) -> ScoreMap:
        """Build the score map of a class, or find it."""
        assert self.densities is not None
        table = (
            self._table(scan.WeightedScan, members)
            if self.noise.kind == "variance"
            else self._table(scan.SharedScan, members)
        )
        model = self.model
        return self.densities.tabulate(
            (members.stretch, members.broaden),
            table,
            model.coordinate[members.channels] * members.stretch,
            model.width * members.broaden,
        )

    def _table(self, kind: type[_Scan], members: SpaxelClass) -> _Scan:
        """Build the scan of a class, or find it."""
        model, key = self.model, (members.stretch, members.broaden)
        low, high = model.bounds.velocity
        beyond = 0.5 * SCALE_CLASS * SPEED_OF_LIGHT if model.stretched else 0.0

        def build() -> scan.Scan:
            return scan.build(
                model.emission,
                model.continuum,
                model.coordinate[members.channels] * members.stretch,
                model.width * members.broaden,
                velocity=(low - beyond, high + beyond),
                broadening=model.bounds.broadening,
            )

        def make() -> scan.SharedScan | scan.WeightedScan:
            return kind.of(self._nodes.get(key, build))

        return cast(_Scan, self._scans.get((kind, *key), make))

    def _first_noise(self, batch: SpectralBatch, members: SpaxelClass, data: NDArray) -> Array:
        """Noise before the lines are known."""
        if self.noise.kind == "imaginary":
            assert batch.imaginary is not None
            return scatter(batch.imaginary, members.channels, rows=members.rows)
        if self.noise.kind == "band":
            dark = self.noise.dark_channels(self.model, members.stretch)
            return scatter(batch.data, dark, rows=members.rows)
        return rough_noise(data)

    def _last_noise(self, batch: SpectralBatch, members: SpaxelClass, fitted: Fitted) -> Array:
        """Noise once the lines are known."""
        if self.noise.kind == "residual":
            excess = np.sqrt(fitted.fit.chi2 / np.maximum(fitted.fit.dof, 1))
            fitted.rough = excess > _ROUGH
            return fitted.noise * excess
        noise = fitted.noise.copy()
        bright = np.flatnonzero(fitted.snr(self.full) > _WINGS_SNR)
        if self.noise.kind == "band" and bright.size:
            dark = self.noise.dark_channels(self.model, members.stretch)
            geometry = members.geometry(self.full, everywhere=True).part(bright)
            fit = fitted.part(bright).fit
            wings = np.zeros((bright.size, dark.size))
            for first, end in runs_of(dark):
                axis = geometry.coordinate[first:end]
                part = varpro.Geometry(axis, geometry.scale, geometry.width)
                wings[:, first:end] = varpro.lines_at(fit, self.full.emission, part)
            rows = members.rows[bright]
            noise[bright] = scatter(batch.data, dark, rows=rows, less=wings)
        return noise

    def explain(self, batch: SpectralBatch) -> Explained:
        """Fit one spectrum and give all that a picture of it needs.

        Parameters
        ----------
        batch : SpectralBatch
            Of one spaxel.
        """
        model, fitted = self.full, self._fit_all(batch)
        empty = np.full(model.coordinate.size, np.nan)
        coordinate, lines, continuum = model.coordinate, empty, empty.copy()
        noise = np.full(model.coordinate.size, float(fitted.noise[0]))
        for members in classes_of(self.model, batch):
            geometry = members.geometry(model, everywhere=True)
            lines = varpro.lines_at(fitted.fit, model.emission, geometry)[0]
            basis = model.continuum.rows(geometry.coordinate[members.channels])
            terms = np.nan_to_num(fitted.fit.linear[0, model.emission.columns :])
            continuum[members.channels] = terms @ basis
            coordinate = geometry.coordinate * members.scale[0]
        if batch.variance is not None and self.noise.kind == "variance":
            noise = np.sqrt(np.where(batch.variance[0] > 0, batch.variance[0], np.nan))
        return Explained(
            coordinate=coordinate,
            kind=model.kind,
            data=batch.data[0].astype(np.float64),
            model=lines + continuum,
            continuum=continuum,
            noise=noise.astype(np.float64),
            table=record_batch(self.schema, batch, model, fitted, self.posterior),
        )
