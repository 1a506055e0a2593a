"""From fitted parameters to the columns and status bits of the optical table."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import chi2 as chi2_distribution

from ..io.records import SpectralBatch
from ..io.results import FitStatus, component_suffix, kinematic_suffix
from ..kernels import varpro
from ..kernels.emission import Shape, resolution_element
from . import densities
from .spectral_model import SpectralModel

Array = NDArray[np.float64]
Likely = Callable[[NDArray, Array], Array]


class Posteriors(Protocol):
    """What made the numbers of `Fitted.posterior`: `PosteriorRows` or `ComponentRows`."""

    def named(self, numbers: Array) -> dict[str, NDArray]:
        """Give the columns by name."""
        ...

    def rough(self, numbers: Array) -> NDArray[np.bool_]:
        """Tell whose integration may have missed something, shape (spaxel,)."""
        ...


_FALSE_ALARM = 1e-3  # blank spectra in which noise passes for a line
_NEGATIVE = 3.0  # standard errors below zero
_HINT = 0.75  # of the gain in chi2 that is a detection: a first noise is no further off
_POOR = 5.0  # standard deviations of chi2 above its expectation
_NOISE_ERROR = 0.05  # noises are measured no better than this: half a hundred channels or more


@dataclass(slots=True)
class Fitted:
    """Fits of some spaxels and what else their rows need; first axis (spaxel,) throughout.

    `scale` stretches the axis that was fitted to the spaxel's own, `width` is the instrument's at
    every line, `dropped` says that channels were left out, `torn` that two minima are as good,
    `rough` that residuals exceed the scatter of neighbouring channels by far, `outside` that the
    network knows no such spectrum. `density`, (spaxel, 4), has the numbers of `densities.COLUMNS`,
    `posterior` those of `PosteriorRows`, or none. `components` counts those that the row has.
    """

    fit: varpro.Fit
    scale: Array
    width: Array
    noise: Array
    dropped: NDArray[np.bool_]
    torn: NDArray[np.bool_]
    rough: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    density: Array
    posterior: Array
    components: NDArray[np.int32]

    @classmethod
    def of(cls, fit: varpro.Fit, geometry: varpro.Geometry, posterior: int = 0) -> "Fitted":
        """Wrap a fit whose noise is not known yet; `posterior` counts the numbers to come."""
        spaxels = fit.chi2.size
        flags = np.zeros((4, spaxels), dtype=bool)
        unknown = np.full(spaxels, np.nan)
        return cls(
            fit,
            geometry.scale,
            geometry.width,
            unknown,
            *flags,
            density=np.full((spaxels, 4), np.nan),
            posterior=np.full((spaxels, posterior), np.nan),
            components=np.ones(spaxels, dtype=np.int32),
        )

    @classmethod
    def empty(cls, spaxels: int, model: SpectralModel, posterior: int = 0) -> "Fitted":
        """Give spaxels that have no data."""
        groups, lines = model.emission.groups, len(model.emission.names)
        linear = model.emission.columns + model.continuum.terms
        size = 2 * groups + linear
        whole = np.zeros(spaxels, dtype=np.int64)
        fit = varpro.Fit(
            velocity=np.full((spaxels, groups), np.nan),
            broadening=np.full((spaxels, groups), np.nan),
            linear=np.full((spaxels, linear), np.nan),
            covariance=np.full((spaxels, size, size), np.nan),
            chi2=np.full(spaxels, np.nan),
            flat_chi2=np.full(spaxels, np.nan),
            dof=whole.copy(),
            evaluations=whole.copy(),
            outcome=whole | varpro.Outcome.NO_DATA,
        )
        geometry = varpro.Geometry(
            model.coordinate, np.full(spaxels, np.nan), np.full((spaxels, lines), np.nan)
        )
        return cls.of(fit, geometry, posterior)

    def put(self, rows: NDArray, part: "Fitted") -> None:
        """Take over the spaxels of `part` at `rows`."""
        for mine, theirs in zip(self._arrays(), part._arrays(), strict=True):
            mine[rows] = theirs

    def part(self, rows: NDArray) -> "Fitted":
        """Copy some spaxels."""
        others = (getattr(self, f.name)[rows] for f in fields(self) if f.name != "fit")
        return Fitted(self.fit.part(rows), *others)

    def _arrays(self) -> list[NDArray]:
        own = [getattr(self, f.name) for f in fields(self) if f.name != "fit"]
        return own + [getattr(self.fit, f.name) for f in fields(self.fit)]

    @property
    def velocity(self) -> Array:
        """Where the fits are, shape (spaxel, group) [km/s]."""
        return self.fit.velocity

    def errors(self) -> Array:
        """Give the standard errors in the order of the covariance, shape (spaxel, parameter)."""
        variance = np.einsum("sii->si", self.fit.covariance)
        return np.sqrt(np.where(variance >= 0, variance, np.nan))

    def rescale(self, noise: Array) -> None:
        """Replace a noise that is one number for a spectrum: it scales errors and chi2 alone."""
        factor = np.square(noise / np.where(self.noise > 0, self.noise, np.nan))
        self.fit.covariance[:] *= factor[:, None, None]
        self.fit.chi2[:] /= factor
        self.fit.flat_chi2[:] /= factor
        self.noise = noise

    def snr(self, model: SpectralModel) -> Array:
        """Peak of the brightest line over the noise; NaN without a fit."""
        return brightest(line_amplitudes(self, model)) / self.noise

    def challenge(
        self,
        rows: NDArray,
        rival: "Fitted",
        model: SpectralModel,
        *,
        near: float,
        likely: Likely | None = None,
    ) -> None:
        """Take the fits of `rival` where they are better; mark those about as good elsewhere.

        A negative amplitude counts against a fit by what forbidding it would cost. Between two
        about as good `likely`, given rows and velocities, decides where its answers differ.
        """
        mine = self.part(rows)
        here, there = (_cost(fitted, model) for fitted in (mine, rival))
        better, torn = race(
            (mine.velocity, here),
            (rival.velocity, there),
            mine.width,
            model,
            near=near,
            likely=None if likely is None else lambda close, v: likely(rows[close], v),
        )
        self.put(rows[better], rival.part(np.flatnonzero(better)))
        self.torn[rows] = torn | (mine.torn & ~better)

    def negativity(self, model: SpectralModel) -> Array:
        """Give what negative amplitudes are worth in chi2, shape (spaxel,)."""
        first = 2 * model.emission.groups
        columns = slice(first, first + model.emission.columns)
        pull = self.fit.linear[:, : model.emission.columns] / self.errors()[:, columns]
        return np.square(np.minimum(np.nan_to_num(pull), 0.0)).sum(axis=1)


def race(
    mine: tuple[Array, Array],
    rival: tuple[Array, Array],
    width: Array,
    model: SpectralModel,
    *,
    near: float,
    likely: Likely | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Compare two minima of each spectrum.

    Parameters
    ----------
    mine, rival : (velocity, cost), of shapes (spaxel, group) and (spaxel,)
        Costs are in chi2; infinite without a fit.
    width : ndarray, shape (spaxel, line)
        Of the instrument.
    model : SpectralModel
    near : float
        In chi2: minima nearer than this are both possible.
    likely : callable, optional
        Given rows and velocities; decides between two about as good where its answers differ.

    Returns
    -------
    (better, torn), each of shape (spaxel,)
        Where the rival wins, and where both are about as good but elsewhere in velocity.
    """
    element = resolution_element(model.emission.shape, width[:, 0], model.emission.rest[0])
    apart = np.abs(mine[0][:, 0] - rival[0][:, 0]) > 0.5 * element
    with np.errstate(invalid="ignore"):  # two fits that failed differ by NaN: not torn
        torn = apart & (np.abs(mine[1] - rival[1]) < near)
    better, close = rival[1] < mine[1], np.flatnonzero(torn)
    if likely is not None and close.size:
        own, other = (likely(close, velocity[close, 0]) for velocity, _ in (mine, rival))
        better[close] = np.where(own == other, better[close], other > own)
    return better, torn


def _cost(fitted: Fitted, model: SpectralModel) -> Array:
    """Chi2 with negative amplitudes counted against it; infinite without a fit."""
    cost = fitted.fit.chi2 + fitted.negativity(model)
    return np.where(np.isfinite(cost), cost, np.inf)


def line_amplitudes(fitted: Fitted, model: SpectralModel) -> Array:
    """Peak of every line, shape (spaxel, line)."""
    fit = fitted.fit
    shares = model.emission.shares(fit.velocity, fit.broadening, fitted.width)
    return fit.linear[:, model.emission.column] * shares


def brightest(amplitudes: Array) -> Array:
    """Largest of each row, shape (spaxel,); NaN where there is none."""
    peak = np.where(np.isfinite(amplitudes), amplitudes, -np.inf).max(axis=1)
    return np.where(np.isfinite(peak), peak, np.nan)


def _line_fluxes(fitted: Fitted, model: SpectralModel, value: Array) -> tuple[Array, Array]:
    """Flux of every line over wavelength and its error, the covariance with broadening included.

    `value` is the flux of each line at peak one.
    """
    emission, fit = model.emission, fitted.fit
    lead, group = emission.lead, emission.line_group
    by_v, by_b = emission.flux_slopes(fit.velocity, fit.broadening, fitted.width, value)
    value, by_v, by_b = (x[:, lead] * emission.ratio for x in (value, by_v, by_b))
    peak = fit.linear[:, emission.column]
    by_v, by_b = peak * by_v, peak * by_b
    error = np.empty_like(peak)
    for line, column in enumerate(emission.column):
        v, b, a = 2 * group[line], 2 * group[line] + 1, 2 * emission.groups + column
        part = fit.covariance
        slope_v, slope_b, slope = by_v[:, line], by_b[:, line], value[:, line]
        variance = slope * (slope * part[:, a, a] + 2 * slope_v * part[:, a, v])
        variance += slope_v * slope_v * part[:, v, v]
        if emission.shape is not Shape.SINC:  # whose broadening is known, and has no variance
            variance += slope_b * (2 * slope * part[:, a, b] + slope_b * part[:, b, b])
            variance += 2 * slope_v * slope_b * part[:, v, b]
        error[:, line] = np.sqrt(variance)
    return peak * value, error


def _continuum(fitted: Fitted, model: SpectralModel) -> tuple[Array, Array]:
    """Continuum under the reference line and its error."""
    emission, fit = model.emission, fitted.fit
    centre = emission.centres(fit.velocity)[:, model.reference] / fitted.scale
    basis = model.continuum.rows(np.nan_to_num(centre)).T
    terms = fit.linear[:, emission.columns :]
    first = 2 * emission.groups + emission.columns
    covariance = fit.covariance[:, first:, first:]
    used = basis != 0  # a term of another window may be undetermined and is not asked
    value = np.where(used, basis * terms, 0.0).sum(axis=1)
    variance = np.where(
        used[:, :, None] & used[:, None, :],
        covariance * basis[:, :, None] * basis[:, None, :],
        0.0,
    ).sum(axis=(1, 2))
    outside = ~used.any(axis=1) | ~np.isfinite(fit.chi2)
    return np.where(outside, np.nan, value), np.where(outside, np.nan, np.sqrt(variance))


def detection_threshold(model: SpectralModel, components: int = 1) -> float:
    """Gain in chi2 that noise alone reaches in one of a thousand blank spectra.

    A chi2 variable of as many degrees as a node has free parameters, tried once for every
    resolution element of the velocity range.
    """
    element = resolution_element(model.emission.shape, model.width, model.emission.rest).max()
    low, high = model.bounds.velocity
    trials = max(1.0, (high - low) / max(float(element), 30.0))
    free = components * (model.emission.columns // model.components + 2)
    return float(chi2_distribution.isf(_FALSE_ALARM / trials, free))


def promising(fitted: Fitted, model: SpectralModel) -> NDArray[np.bool_]:
    """Tell which spectra may hold a line; the noise need not be final. Shape (spaxel,)."""
    gain = np.nan_to_num(fitted.fit.flat_chi2 - fitted.fit.chi2)
    return gain > _HINT * detection_threshold(model)


def _status(fitted: Fitted, model: SpectralModel) -> NDArray[np.int32]:
    """Status bits of every row."""
    fit = fitted.fit
    status = np.zeros(fit.chi2.size, dtype=np.int32)

    def mark(where: NDArray[np.bool_], bit: FitStatus) -> None:
        status[where] |= np.int32(bit)

    gone = (fit.outcome & varpro.Outcome.NO_DATA) > 0
    mark(gone, FitStatus.NO_DATA)
    mark(fitted.dropped & ~gone, FitStatus.NONFINITE)
    mark(fitted.torn & ~gone, FitStatus.SEEDS_DISAGREE)
    mark(fitted.outside & ~gone, FitStatus.MDN_OUT_OF_RANGE)
    mark((fit.outcome & varpro.Outcome.MAX_ITERATIONS) > 0, FitStatus.MAX_ITERATIONS)
    mark((fit.outcome & varpro.Outcome.AT_BOUND) > 0, FitStatus.AT_BOUND)
    mark((fit.outcome & varpro.Outcome.SINGULAR) > 0, FitStatus.SINGULAR)
    there = ~gone & np.isfinite(fit.chi2)
    gain = np.where(there, fit.flat_chi2 - fit.chi2, np.inf)
    least = [np.inf] + [detection_threshold(model, k + 1) for k in range(model.components)]
    mark(~(gain > np.array(least)[fitted.components]), FitStatus.NO_SIGNAL)
    first = 2 * model.emission.groups
    pull = fit.linear / fitted.errors()[:, first:]
    columns = np.nan_to_num(pull[:, : model.emission.columns])
    mark(there & (columns < -_NEGATIVE).any(axis=1), FitStatus.NEGATIVE_AMPLITUDE)
    dof = np.maximum(fit.dof, 1)
    spread = np.sqrt(2.0 / dof + (2 * _NOISE_ERROR) ** 2)
    poor = fitted.rough | (fit.chi2 / dof > 1 + _POOR * spread)
    mark(there & poor, FitStatus.POOR_FIT)
    return status


def record_batch(
    schema: pa.Schema,
    batch: SpectralBatch,
    model: SpectralModel,
    fitted: Fitted,
    posterior: Posteriors | None = None,
) -> pa.RecordBatch:
    """Put fits into rows.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of `optical_columns`.
    batch : SpectralBatch
        Whose rows these are, in its order.
    model : SpectralModel
    fitted : Fitted
    posterior : Posteriors, optional
        What made the posteriors.

    Returns
    -------
    pyarrow.RecordBatch
    """
    emission, errors = model.emission, fitted.errors()
    continuum, continuum_err = _continuum(fitted, model)
    unit = emission.peak_fluxes(fitted.fit.velocity, fitted.fit.broadening, fitted.width)
    shares = emission.ratio * unit[:, emission.lead] / unit
    amplitude = fitted.fit.linear[:, emission.column] * shares
    flux, flux_err = _line_fluxes(fitted, model, unit)
    columns: dict[str, NDArray] = {
        "x": batch.x,
        "y": batch.y,
        "status": _status(fitted, model),
        "continuum": continuum,
        "continuum_err": continuum_err,
        "chi2": fitted.fit.chi2,
        "dof": fitted.fit.dof.astype(np.int32),
        "noise": fitted.noise,
        "snr": brightest(amplitude) / fitted.noise,
    }
    for group in range(emission.groups):
        suffix = kinematic_suffix(group, model.groups)
        columns[f"velocity{suffix}"] = fitted.fit.velocity[:, group]
        columns[f"velocity{suffix}_err"] = errors[:, 2 * group]
        width = fitted.fit.broadening[:, group], errors[:, 2 * group + 1]
        if emission.shape is Shape.SINC:  # zero, and known to be
            width = (np.where(np.isfinite(fitted.fit.velocity[:, group]), 0.0, np.nan),) * 2
        columns[f"broadening{suffix}"], columns[f"broadening{suffix}_err"] = width
    for column, values in zip(densities.COLUMNS, fitted.density.T, strict=True):
        columns[column.name] = values
    fits = np.isfinite(fitted.fit.velocity).any(axis=1)
    columns["components"] = np.where(fits, fitted.components, 0)
    lines = len(emission.names) // model.components
    for index in range(len(emission.names)):
        name, suffix = emission.names[index % lines], component_suffix(index // lines)
        own = errors[:, 2 * emission.groups + emission.column[index]]
        columns[f"{name}_amplitude{suffix}"] = amplitude[:, index]
        columns[f"{name}_amplitude{suffix}_err"] = own * shares[:, index]
        columns[f"{name}_flux{suffix}"] = flux[:, index]
        columns[f"{name}_flux{suffix}_err"] = flux_err[:, index]
    if posterior is not None:
        columns |= posterior.named(fitted.posterior)
        rough = posterior.rough(fitted.posterior)
        columns["status"] = columns["status"] | np.int32(FitStatus.POSTERIOR_ROUGH) * rough
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
