"""How many components a spectrum has, and the posteriors of more than two nonlinear parameters.

One component of one group is integrated on lattices (`posterior_rows.py`), anything more sampled
(`kernels/importance.py`) about the minima of the fit, with the same flat prior of every velocity
and broadening and the same prior of amplitudes, so that the evidences compare. Amplitudes are not
negative where there are several components: free in sign, two that nearly coincide could cancel
each other but for a derivative, at any brightness, and have an evidence of that. ``auto`` takes two
components where their evidence is `DECISIVE` times that of one, else one where it is so many times
that of the continuum alone, else none. Laplace's approximation says first for which spectra that is
open at all; only those are sampled.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ..io.posterior_columns import comparison_columns, posterior_columns
from ..io.records import CubeHeader, SpectralBatch
from ..io.results import Column
from ..kernels import components, importance, psis, varpro
from ..kernels.emission import Shape
from ..kernels.nested import nested
from ..kernels.posterior import Amplitudes
from ..kernels.target import Spectra, Target
from ..models.fit_graph import Fitter
from .component_fits import Minima
from .config import OpticalConfig
from .extras import require
from .optical_rows import Fitted
from .posterior_rows import PosteriorRows, Tables
from .reduced_fitter import ReducedFitter
from .spectral_model import SpectralModel, with_components

Array = NDArray[np.float64]

DECISIVE = 3.0
"""ln of the least Bayes factor for one component more: twenty to one."""

_OPEN = 7.0  # in ln evidence: by how much Laplace's approximation may err
_FAINT = -2.0  # ln evidence of one component below which two, each fainter, are not there either


def keys_of(batch: SpectralBatch, rows: NDArray[np.integer], seed: int) -> NDArray[np.uint64]:
    """Give the key of each spectrum's own random numbers: seed and place, shape (spaxel, 2)."""
    x, y = (values[rows].astype(np.uint64) for values in (batch.x, batch.y))
    return np.stack([np.full(rows.size, seed, np.uint64), (x << np.uint64(32)) | y], axis=1)


def choose_rows(
    header: CubeHeader, model: SpectralModel, count: int, fitter: Fitter, config: OpticalConfig
) -> "PosteriorRows | ComponentRows | None":
    """Give what integrates posteriors: lattices for one group of one component, else samples.

    Parameters
    ----------
    header : CubeHeader
    model : SpectralModel
        Of one component.
    count : int
        Components fitted at most.
    fitter : Fitter
        What fits one component; its tables serve the lattices too.
    config : OpticalConfig

    Returns
    -------
    PosteriorRows, ComponentRows or None
        None where nothing is asked for.

    Raises
    ------
    InputError
        If nested sampling is asked for and not installed.
    """
    if not config.bayes and config.components != "auto":
        return None
    if count > 1:
        config = replace(config, positive=True)
    lattice = None
    if model.groups == 1:
        engine = fitter.engine if isinstance(fitter, ReducedFitter) else None
        lattice = PosteriorRows(model, header.unit, engine, config)
        if count == 1:
            return lattice
    return ComponentRows(model, count, config, header, lattice)


@dataclass(frozen=True, slots=True)
class Case:
    """Spectra of one class of spaxels, and what their posteriors need.

    Parameters
    ----------
    data, weight : ndarray, shape (spaxel, channel)
        Weights with the final noise.
    noise : ndarray, shape (spaxel,)
    geometry : varpro.Geometry
        Of one component.
    tables : callable
        Gives the tables of a kind of scan, as `PosteriorRows.integrate` takes it.
    keys : ndarray of uint64, shape (spaxel, 2)
        Of each spectrum's own random numbers.
    """

    data: NDArray[np.floating]
    weight: Array
    noise: Array
    geometry: varpro.Geometry
    tables: Tables
    keys: NDArray[np.uint64]

    def part(self, rows: NDArray[np.integer]) -> "Case":
        """Give some spaxels."""
        return Case(
            self.data[rows],
            self.weight[rows],
            self.noise[rows],
            self.geometry.part(rows),
            self.tables,
            self.keys[rows],
        )


class ComponentRows:
    """Evidences and posteriors of several components, or groups; safe to share between threads.

    Parameters
    ----------
    model : SpectralModel
        Of one component.
    count : int
        Components fitted at most.
    config : OpticalConfig
    header : CubeHeader
        Of the cube.
    lattice : PosteriorRows or None
        That of one component, where it has one group.
    """

    def __init__(
        self,
        model: SpectralModel,
        count: int,
        config: OpticalConfig,
        header: CubeHeader,
        lattice: PosteriorRows | None,
    ) -> None:
        if config.refine:
            require("dynesty", "--refine")
        self.model, self.count, self._config, self._lattice = model, count, config, lattice
        self.auto = config.components == "auto"
        names = model.emission.names
        posteriors = posterior_columns(names, header.unit, model.groups, count)
        comparison = comparison_columns(count)
        self._every = [column.name for column in posteriors + comparison]
        self.columns: list[Column] = [*(posteriors if config.bayes else ()), *comparison]
        self._places = {name: place for place, name in enumerate(self._every)}

    @property
    def prior(self) -> str:
        """Say what the prior is."""
        box = self.model.bounds
        return (
            "flat over velocity {:g} to {:g} and broadening {:g} to {:g} km/s, "
            "of every component and group"
        ).format(*box.velocity, *box.broadening)

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing to warn of."""
        return ()

    @property
    def width(self) -> int:
        """Numbers per spaxel: all columns, then whether the row is not to be trusted."""
        return len(self._every) + 1

    def named(self, numbers: Array) -> dict[str, NDArray]:
        """Give the columns by name."""
        return {column.name: numbers[:, self._places[column.name]] for column in self.columns}

    def rough(self, numbers: Array) -> NDArray[np.bool_]:
        """Tell whose posterior is not to be trusted, shape (spaxel,)."""
        return np.nan_to_num(numbers[:, -1]) > 0

    def finish(self, case: "Case", one: Fitted, chain: list[Minima]) -> Fitted:
        """Give the fits that count, with their posteriors.

        Parameters
        ----------
        case : Case
        one : Fitted
            Fits of one component.
        chain : list of Minima
            Of two components and more.

        Returns
        -------
        Fitted
            Of the shape of all components.
        """
        fewer = numbers = self.single(case, one)
        for minima in chain:
            fewer, numbers = numbers, self.several(case, minima, numbers)
        fitted = chain[-1].fitted if chain else one
        if self.auto:
            numbers, fitted.components = self.chosen(fewer, numbers)
            rows = np.flatnonzero(fitted.components < 2)
            single = components.embedded(one.fit, self.model.emission, 1, 2)
            for field in fields(varpro.Fit):
                getattr(fitted.fit, field.name)[rows] = getattr(single, field.name)[rows]
            fitted.torn[rows] = one.torn[rows]
        fitted.posterior = numbers
        return fitted

    def single(self, case: "Case", fitted: Fitted) -> Array:
        """Integrate one component.

        Parameters
        ----------
        case : Case
        fitted : Fitted
            Of one component.

        Returns
        -------
        ndarray, shape (spaxel, `width`)
        """
        if self._lattice is None:
            return self._sampled(case, fitted.fit, None, 1)
        out = np.full((len(case.data), self.width), np.nan)
        found = self._lattice.integrate(
            case.data, case.weight, fitted.fit, case.noise, case.geometry, case.tables
        )
        own = self._lattice.named(found)
        for name, values in own.items():
            out[:, self._places[name]] = values
        out[:, -1] = self._lattice.rough(found)
        return out

    def several(self, case: "Case", minima: Minima, fewer: Array) -> Array:
        """Sample the posteriors of all components, where they may matter.

        Parameters
        ----------
        case : Case
        minima : Minima
            Of some components.
        fewer : ndarray, shape (spaxel, `width`)
            What is known with one fewer.

        Returns
        -------
        ndarray, shape (spaxel, `width`)
            That of `fewer` where there is no fit of so many; NaN where `auto` need not know.
        """
        count = minima.fitted.velocity.shape[1] // self.model.groups
        out = fewer.copy()
        wanted = minima.tried.copy()
        if self.auto:
            out[wanted] = np.nan
            guess = components.laplace_evidence(
                minima.fitted.fit,
                self.model.emission,
                count,
                self.model.bounds,
                np.sqrt(case.data.shape[1]) * case.noise,
                widths=self.model.emission.shape is not Shape.SINC,
            )
            single = np.nan_to_num(self.evidence(fewer), nan=-np.inf)
            wanted &= (single > _FAINT) & (guess > single + DECISIVE - _OPEN)
        rows = np.flatnonzero(wanted)
        if rows.size:
            fits = minima.fitted.fit.part(rows), minima.rival.part(rows)
            out[rows] = self._sampled(case.part(rows), *fits, count)
            better = self.evidence(out)[rows] - self.evidence(fewer)[rows]
            out[rows, self._places["log_bayes_factor"]] = better
        return out

    def evidence(self, numbers: Array) -> Array:
        """Give ln of the evidence over that of the continuum alone, shape (spaxel,)."""
        return numbers[:, self._places["log_evidence"]]

    def chosen(self, one: Array, several: Array) -> tuple[Array, NDArray[np.int32]]:
        """Decide between none, one and two components.

        Parameters
        ----------
        one, several : ndarray, shape (spaxel, `width`)
            What is known of one component and of two; NaN where that need not be known.

        Returns
        -------
        (numbers, components), of shapes (spaxel, `width`) and (spaxel,)
            The numbers of none are those of one.
        """
        single = self.evidence(one)
        double = np.nan_to_num(self.evidence(several), nan=-np.inf)
        with np.errstate(invalid="ignore"):
            two = (double - np.nan_to_num(single, nan=-np.inf) > DECISIVE) & (double > DECISIVE)
        number = np.where(two, 2, np.where(single > DECISIVE, 1, 0)).astype(np.int32)
        out = np.where(two[:, None], several, one)
        place = self._places["log_bayes_factor"]
        out[number == 1, place] = single[number == 1]
        out[number == 0, place] = -single[number == 0]
        k_hat = self._places["k_hat"]
        out[~two, k_hat] = several[~two, k_hat]
        return out, number

    def _sampled(
        self, case: "Case", fit: varpro.Fit, rival: varpro.Fit | None, count: int
    ) -> Array:
        """Sample about the minima of some spectra."""
        model = with_components(self.model, count)
        target = Target(
            model.emission,
            model.continuum,
            count,
            model.bounds,
            Amplitudes(float(np.sqrt(case.data.shape[1])), positive=self._config.positive),
        )
        geometry = varpro.Geometry(
            case.geometry.coordinate, case.geometry.scale, np.tile(case.geometry.width, count)
        )
        spectra = Spectra(case.data, case.weight, case.noise, geometry)
        size, fits = 2 * model.emission.groups, [fit] if rival is None else [fit, rival]
        centre = np.stack(
            [np.stack([f.velocity, f.broadening], axis=-1).reshape(-1, size) for f in fits], axis=1
        )
        spread = np.stack([f.covariance[:, :size, :size] for f in fits], axis=1)
        found = importance.sample(target, spectra, centre, spread, case.keys)
        poor = found.k_hat > psis.TRUSTED
        if self._config.refine:
            for row in np.flatnonzero(poor)[:, None]:
                again = nested(target, spectra.part(row), centre[row[0], 0], case.keys[row[0]])
                found.put(row, replace(again, k_hat=found.k_hat[row]))
            poor[:] = False
        return self._numbers(found, poor, count)

    def _numbers(self, found: importance.Sampled, poor: NDArray[np.bool_], count: int) -> Array:
        """Put posteriors into the order of the numbers."""
        spaxels, lines = len(found.k_hat), len(self.model.emission.names)
        out = np.full((spaxels, self.width), np.nan)
        fluxes = np.stack([found.flux, found.flux_sigma], axis=-1)
        names = posterior_columns(self.model.emission.names, "", self.model.groups, count)
        pair = found.kinematics.reshape(spaxels, -1, 10)
        values = [
            pair[:, 0],
            found.log_evidence[:, None],
            fluxes[:, :lines].reshape(spaxels, -1),
            pair[:, 1:].reshape(spaxels, -1),
            fluxes[:, lines:].reshape(spaxels, -1),
        ]
        places = [self._places[column.name] for column in names]
        out[:, places] = np.concatenate(values, axis=1)
        out[:, self._places["k_hat"]] = found.k_hat
        out[:, -1] = poor
        return out
