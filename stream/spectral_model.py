"""From a cube's header and the user's options to what the kernels need: axis, lines, windows.

An FTS is fitted in wavenumbers on the axis of corr = 1 (or the cube's common axis where it is
calibrated); a spaxel's own `corr` stretches it. Every other cube is fitted on the wavelengths it
comes with, and where these are vacuum ones the lines' rest wavelengths are turned into vacuum too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..io.errors import InputError
from ..io.records import CubeHeader, FtsAxis, SampledAxis
from ..kernels.axis import (
    GAUSSIAN_FWHM,
    SINC_FWHM,
    SPEED_OF_LIGHT,
    air_to_vacuum,
    fts_grid,
    ils_width,
)
from ..kernels.components import repeated
from ..kernels.emission import Continuum, Emission, Shape, resolution_element, tie
from ..kernels.lines import RATIOS, default_lines, rest_wavelengths
from ..kernels.varpro import Bounds
from .config import OpticalConfig

Array = NDArray[np.float64]

# Windows [cm-1] in which SITELLE's filters pass light evenly (as LUCI fits them).
FILTER_WINDOWS: Mapping[str, tuple[float, float]] = {
    "SN1": (26000.0, 28000.0),
    "SN2": (19500.0, 20750.0),
    "SN3": (14750.0, 15400.0),
    "SN4": (15040.0, 15330.0),
    "C1": (20665.0, 25974.0),
    "C2": (15990.0, 17880.0),
    "C3": (18100.0, 19500.0),
    "C4": (12150.0, 12550.0),
}
_FLANK = 25.0  # inside its band a filter's transmission still falls over so much [cm-1]
_EDGE = 0.04  # of a filter's width: its flanks, left out where no window is tabulated
_BESIDE = 2000.0  # continuum fitted on either side of a line's velocity range [km/s]
_NARROWEST = 1.0 / GAUSSIAN_FWHM  # channels: a narrower line may have any height between two


@dataclass(frozen=True, slots=True)
class SpectralModel:
    """What is fitted to every spectrum of a cube.

    Parameters
    ----------
    emission : Emission
    continuum : Continuum
        Its windows are the channels that are fitted.
    coordinate : ndarray, shape (channel,)
        The whole axis [cm-1 or angstrom].
    kind : {"wavenumber", "air", "vacuum"}
        What `coordinate` is.
    stretched : bool
        True where each spaxel has an axis of its own, `coordinate` times its corr.
    widened : bool
        True where the instrument's width is `width` times the spaxel's corr.
    width : ndarray, shape (line,)
        Sinc width, or standard deviation of the instrument's Gaussian.
    bounds : Bounds
    redshift : float
    notes : tuple of str
        What a reader of the results should know of the choices made.
    components : int
        Kinematic components; `emission` and `width` hold the lines of each in turn.
    """

    emission: Emission
    continuum: Continuum
    coordinate: Array
    kind: str
    stretched: bool
    widened: bool
    width: Array
    bounds: Bounds
    redshift: float
    notes: tuple[str, ...] = ()
    components: int = 1

    @property
    def groups(self) -> int:
        """Kinematic groups of one component."""
        return self.emission.groups // self.components

    def element(self, width: Array, scale: Array) -> Array:
        """Full width of the instrument at the first line, shape (spaxel,) [km/s]."""
        emission = self.emission
        return resolution_element(emission.shape, width[:, 0] / scale, emission.rest[0])

    def scale(self, corr: Array | None, spaxels: int) -> Array:
        """Factor on the axis of each spaxel; NaN where its corr is unknown."""
        return corr if self.stretched and corr is not None else np.ones(spaxels)

    def widths(self, corr: Array | None, spaxels: int) -> Array:
        """Width of the instrument at every line, shape (spaxel, line)."""
        if not self.widened or corr is None:
            return np.broadcast_to(self.width, (spaxels, self.width.size)).copy()
        return corr[:, None] * self.width

    def window_channels(self, scale: float) -> NDArray[np.bool_]:
        """Channels inside the windows for a spaxel whose axis is stretched by `scale`."""
        inside = np.zeros(self.coordinate.size, dtype=bool)
        for low, high in self.continuum.windows:
            inside |= (self.coordinate * scale >= low) & (self.coordinate * scale <= high)
        return inside

    @property
    def reference(self) -> int:
        """Line under which the continuum is quoted."""
        names = self.emission.names
        strongest = ("Halpha", "OIII5007", "Hbeta", "OII3729")
        return next((names.index(name) for name in strongest if name in names), 0)


def with_components(model: SpectralModel, count: int) -> SpectralModel:
    """Give the model of several kinematic components, from that of one."""
    return replace(
        model,
        emission=repeated(model.emission, count),
        width=np.tile(model.width, count),
        components=count,
    )


def build_model(header: CubeHeader, config: OpticalConfig) -> SpectralModel:
    """Choose axis, lines and windows for a cube.

    Parameters
    ----------
    header : CubeHeader
    config : OpticalConfig

    Returns
    -------
    SpectralModel

    Raises
    ------
    InputError
        If no line is in the band, a line or window lies outside the axis, a tie cannot be, or the
        instrument's width is needed and unknown.
    """
    axis = header.axis
    redshift = config.redshift if config.redshift is not None else (header.redshift or 0.0)
    if isinstance(axis, FtsAxis):
        corr = axis.axis_corr if axis.calibrated else 1.0
        grid = fts_grid(channels=axis.channels, step_nm=axis.step_nm, order=axis.order, corr=corr)
        coordinate, kind = grid.coordinates(), "wavenumber"
    else:
        coordinate, kind = axis.coordinate, axis.kind
    band = _band(header, axis, coordinate, kind, config)
    rest = _rest(header.name, band, kind, redshift, config)
    shape = _shape(header, config)
    emission = _tied(header.name, rest, shape, kind == "wavenumber", config)
    windows = _windows(header.name, emission, band, kind, config)
    width = _width(header, axis, shape, emission.rest, config)
    broadening = _broadening(header.name, coordinate, emission, width, config)
    return SpectralModel(
        emission=emission,
        continuum=Continuum(windows, config.continuum_degree),
        coordinate=coordinate,
        kind=kind,
        stretched=isinstance(axis, FtsAxis) and not axis.calibrated,
        widened=isinstance(axis, FtsAxis) and config.resolution is None,
        width=width,
        bounds=Bounds(config.velocity_range, broadening),
        redshift=redshift,
        notes=_notes(header, axis, shape, config),
    )


def _broadening(
    name: str, coordinate: Array, emission: Emission, width: Array, config: OpticalConfig
) -> tuple[float, float]:
    """Range of broadening asked for, kept from Gaussians that fall between two channels."""
    low, high = config.broadening_range
    if emission.shape is not Shape.GAUSSIAN:
        return low, high
    middle = (coordinate[1:] + coordinate[:-1]) / 2
    channel = np.interp(emission.rest, middle, np.diff(coordinate))
    narrowest = np.sqrt(np.maximum(np.square(_NARROWEST * channel) - np.square(width), 0.0))
    least = float((narrowest / emission.rest).max()) * SPEED_OF_LIGHT
    if least >= high:
        raise InputError(
            f"{name}: --broadening-range ends at {high:g} km/s, but a line one channel wide has "
            f"{least:.1f}; give a higher end"
        )
    return max(low, least), high


def _notes(
    header: CubeHeader, axis: FtsAxis | SampledAxis, shape: Shape, config: OpticalConfig
) -> tuple[str, ...]:
    """Say what a reader of the results should know of the choices made."""
    if shape is Shape.SINC:
        return ("a sinc has no broadening: its columns are 0",)
    if isinstance(axis, SampledAxis) and axis.lsf_sigma is None and config.resolution is None:
        return (
            f"{header.name} does not say its resolution: broadening is as observed, the "
            "instrument's included; give --resolution R to take it out",
        )
    return ()


def _band(
    header: CubeHeader,
    axis: FtsAxis | SampledAxis,
    coordinate: Array,
    kind: str,
    config: OpticalConfig,
) -> tuple[float, float]:
    """Stretch of the axis, in its unit, that may be fitted."""
    corr = axis.axis_corr if isinstance(axis, FtsAxis) and not axis.calibrated else 1.0
    low, high = float(coordinate[0]) * corr, float(coordinate[-1]) * corr
    if config.window is not None:
        factor = 1.0 if kind == "wavenumber" else 10.0  # nm to angstrom
        asked = (config.window[0] * factor, config.window[1] * factor)
        if not (low <= asked[0] < asked[1] <= high):
            unit = "cm-1" if kind == "wavenumber" else "nm"
            raise InputError(
                f"{header.name}: --window {config.window[0]:g},{config.window[1]:g} is not inside "
                f"the axis, {low / factor:.4g} to {high / factor:.4g} {unit}; choose one that is"
            )
        return asked
    if not isinstance(axis, FtsAxis):
        return low, high
    passed = FILTER_WINDOWS.get(header.filter_name)
    if passed is None and header.band is not None:
        edge = _EDGE * (header.band[1] - header.band[0])
        passed = header.band[0] + edge, header.band[1] - edge
    if passed is None:
        return low, high
    if header.band is not None:  # the windows of SN1, SN4, C1 and C4 reach beyond their light
        passed = max(passed[0], header.band[0] + _FLANK), min(passed[1], header.band[1] - _FLANK)
    return max(low, passed[0]), min(high, passed[1])


def _rest(
    name: str, band: tuple[float, float], kind: str, redshift: float, config: OpticalConfig
) -> dict[str, float]:
    """Rest coordinate of each line in the axis' unit, redshifted."""
    custom = dict(config.custom_lines)
    low, high = (1e8 / band[1], 1e8 / band[0]) if kind == "wavenumber" else band
    if config.lines is None:
        inside = [n for n, nm in custom.items() if low < nm * 10 * (1 + redshift) < high]
        chosen = (*default_lines(low / 10, high / 10, redshift=redshift), *inside)
    else:
        chosen = config.lines
    if not chosen:
        raise InputError(
            f"{name}: no strong line between {low / 10:.2f} and {high / 10:.2f} nm at redshift "
            f"{redshift:g}; set --redshift or name --lines"
        )
    try:
        air = rest_wavelengths(chosen, custom)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    for line, nm in air.items():
        if not low < nm * 10 * (1 + redshift) < high:
            raise InputError(
                f"{name}: line {line} stands at {nm * (1 + redshift):.2f} nm, outside "
                f"{low / 10:.2f} to {high / 10:.2f} nm; drop it from --lines or set --redshift"
            )
    if kind == "wavenumber":
        return {line: 1e7 / (nm * (1 + redshift)) for line, nm in air.items()}
    angstrom = {line: nm * 10 for line, nm in air.items()}
    if kind == "vacuum":
        angstrom = {line: float(air_to_vacuum(value)) for line, value in angstrom.items()}
    return {line: value * (1 + redshift) for line, value in angstrom.items()}


def _shape(header: CubeHeader, config: OpticalConfig) -> Shape:
    """Line shape asked for, or the instrument's."""
    if config.ils != "auto":
        shape = Shape[config.ils.upper()]
        evenly = isinstance(header.axis, FtsAxis) or _evenly(header.axis.coordinate)
        if shape is not Shape.GAUSSIAN and not evenly:
            raise InputError(
                f"{header.name}: --ils {config.ils} needs evenly spaced channels and this axis has "
                "none; use --ils gaussian"
            )
        return shape
    if isinstance(header.axis, FtsAxis):
        return Shape.SINCGAUSS if header.axis.apodization <= 1.0 else Shape.GAUSSIAN
    return Shape.SINCGAUSS if header.axis.kind == "wavenumber" else Shape.GAUSSIAN


def _evenly(coordinate: Array) -> bool:
    """Tell whether channels are evenly spaced to a millionth of the axis."""
    return bool(np.ptp(np.diff(coordinate)) < 1e-6 * np.ptp(coordinate))


def _tied(
    name: str, rest: dict[str, float], shape: Shape, wavenumber: bool, config: OpticalConfig
) -> Emission:
    ratios = dict(RATIOS)
    if config.ratios is not None:
        ratios = {(strong, weak): value for strong, weak, value in config.ratios}
    try:
        return tie(rest, shape=shape, wavenumber=wavenumber, groups=config.groups, ratios=ratios)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def _windows(
    name: str, emission: Emission, band: tuple[float, float], kind: str, config: OpticalConfig
) -> tuple[tuple[float, float], ...]:
    """Windows that are fitted: the band of a filter or --window, else the lines' surroundings."""
    if config.window is not None or kind == "wavenumber":
        return (band,)
    low, high = (
        emission.rest * (1 + (v + beside) / SPEED_OF_LIGHT)
        for v, beside in zip(config.velocity_range, (-_BESIDE, _BESIDE), strict=True)
    )
    windows: list[tuple[float, float]] = []
    for start, stop in sorted(zip(low, high, strict=True)):
        start, stop = max(float(start), band[0]), min(float(stop), band[1])
        if windows and start <= windows[-1][1]:
            windows[-1] = windows[-1][0], max(windows[-1][1], stop)
        else:
            windows.append((start, stop))
    return tuple(windows)


def _width(
    header: CubeHeader,
    axis: FtsAxis | SampledAxis,
    shape: Shape,
    rest: Array,
    config: OpticalConfig,
) -> Array:
    """Instrument's width at each line; of an FTS, that of corr = 1."""
    if isinstance(config.resolution, (int, float)):
        fwhm = rest / float(config.resolution)
        return fwhm / (GAUSSIAN_FWHM if shape is Shape.GAUSSIAN else SINC_FWHM)
    if config.resolution == "none" and shape is Shape.GAUSSIAN:
        return np.zeros(rest.size)
    if isinstance(axis, FtsAxis):
        unit = ils_width(
            step_nm=axis.step_nm, step_nb=axis.step_nb, zpd_index=axis.zpd_index, corr=1.0
        )
        if shape is Shape.GAUSSIAN:
            unit = unit * SINC_FWHM * axis.apodization / GAUSSIAN_FWHM
        return np.full(rest.size, float(unit))
    if shape is not Shape.GAUSSIAN:
        raise InputError(
            f"{header.name}: the width of its sinc is unknown; give --resolution R (R = x / FWHM)"
        )
    if axis.lsf_sigma is not None:
        return np.interp(rest, axis.coordinate, axis.lsf_sigma)
    return np.zeros(rest.size)
