"""What the reader finds in a cube, as plain text: the report of ``stream-fit validate``.

Nothing here is measured beyond a sample of spectra from a grid over the cube, so that a cube of any
size is described at once. X-ray spectra are described by `validate_ogip`.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from ..io import ogip
from ..io.errors import InputError
from ..io.records import Area, BatchKey, CubeHeader, FtsAxis, SampledAxis, SpectralBatch
from ..io.source import CubeReader, open_cube
from ..kernels.axis import GAUSSIAN_FWHM, SINC_FWHM, fts_grid, ils_width, vacuum_to_air
from ..kernels.lines import default_lines
from .validate_ogip import observation_rows

_SMALL = 4096  # spaxels up to which a cube is its own sample
_SIDE = 8  # spaxels of one square of the sample
_GRID = (1, 3, 5)  # sixths of the cube at which squares are centred
_UNITS = {"wavenumber": "cm-1", "air": "angstrom in air", "vacuum": "angstrom in vacuum"}

Row = tuple[str, str]


def describe(path: str | Path, *, links: ogip.Links | None = None) -> str:
    """Describe a cube or an X-ray spectrum.

    Parameters
    ----------
    path : str or Path
    links : Links
        Files to take in place of those in the header of an X-ray spectrum.

    Returns
    -------
    str
        Lines of a label and what was found; the same for the same file.

    Raises
    ------
    InputError
        If the file is not one that can be fitted, naming what is wrong and the cure.
    """
    if Path(path).is_file() and ogip.claims(Path(path)):
        return _laid_out(observation_rows(Path(path), links))
    if links is not None and links != ogip.Links():
        raise InputError(
            f"{path}: --arf, --rmf and --background are for X-ray spectra; leave them out"
        )
    reader = open_cube(path)
    try:
        header = reader.header
        rows = [*_format(header), *_axis(header), *_noise(header), *_target(header)]
        rows += [*_sky(header), *_sample(reader), *_lines(header)]
        rows += [("note", note) for note in header.notes]
    finally:
        reader.close()
    return _laid_out(rows)


def _laid_out(rows: list[Row]) -> str:
    """Set the texts below each other."""
    width = max(len(label) for label, _ in rows) + 2
    return "\n".join(f"{label:<{width}}{text}".rstrip() for label, text in rows)


def _format(header: CubeHeader) -> Iterator[Row]:
    """Name the file and its layout."""
    nx, ny = header.shape
    yield "file", header.name
    yield "format", header.layout
    yield "spaxels", f"{nx} x {ny}, {nx * ny} in all"
    yield "unit", header.unit or "not known"


def _axis(header: CubeHeader) -> Iterator[Row]:
    """Describe the axis and the line shape of the instrument."""
    axis = header.axis
    coordinate, kind = _coordinate(axis)
    steps = np.diff(coordinate)
    even = np.ptp(steps) <= 1e-4 * steps.mean()
    step = f"{steps.mean():.6g}" if even else f"{steps[0]:.6g} to {steps[-1]:.6g}"
    yield "channels", f"{axis.channels}"
    yield "axis", f"{coordinate[0]:.6f} to {coordinate[-1]:.6f} {_UNITS[kind]}, step {step}"
    if isinstance(axis, FtsAxis):
        yield from _interferometer(axis, coordinate)
    elif axis.lsf_sigma is None:
        yield (
            "resolution",
            "not in the file: give --resolution R, or none for broadening as observed",
        )
    else:
        resolution = axis.coordinate / (GAUSSIAN_FWHM * axis.lsf_sigma)
        yield (
            "resolution",
            f"R {resolution[0]:.0f} at {coordinate[0]:.0f}, {resolution[-1]:.0f} at "
            f"{coordinate[-1]:.0f}, from the file",
        )
    if header.band is not None:
        low, high = header.band
        yield "band", f"{low:.1f} to {high:.1f} cm-1 ({1e7 / high:.1f} to {1e7 / low:.1f} nm)"


def _interferometer(axis: FtsAxis, coordinate: NDArray[np.float64]) -> Iterator[Row]:
    """Describe the mirror steps and the width that follows from them."""
    width = float(
        ils_width(
            step_nm=axis.step_nm,
            step_nb=axis.step_nb,
            zpd_index=axis.zpd_index,
            corr=axis.axis_corr,
        )
    )
    middle = float(coordinate[coordinate.size // 2])
    fwhm = SINC_FWHM * width * axis.apodization
    yield (
        "mirror",
        f"step {axis.step_nm:.6f} nm, order {axis.order}, {axis.step_nb} steps, "
        f"zero path difference at {axis.zpd_index}, axis for corr {axis.axis_corr:.6f}, "
        + ("the same for all spaxels" if axis.calibrated else "each spaxel on its own"),
    )
    yield (
        "resolution",
        f"R {middle / fwhm:.0f} at {middle:.0f} cm-1, sinc width {width:.5f} cm-1, "
        f"apodization {axis.apodization:g}",
    )


def _coordinate(axis: SampledAxis | FtsAxis) -> tuple[NDArray[np.float64], str]:
    """Give the coordinate of every channel and its kind."""
    if isinstance(axis, SampledAxis):
        return axis.coordinate, axis.kind
    grid = fts_grid(
        channels=axis.channels, step_nm=axis.step_nm, order=axis.order, corr=axis.axis_corr
    )
    return grid.coordinates(), "wavenumber"


def _noise(header: CubeHeader) -> Iterator[Row]:
    """Say where the noise of a fit can come from."""
    outside = header.band is not None
    sources = (
        (header.has_variance, "variance of the file"),
        (outside, "channels out of band"),
        (header.has_imaginary, "imaginary part"),
        (True, "residuals of the fit"),
    )
    yield "noise", ", ".join(name for there, name in sources if there)


def _target(header: CubeHeader) -> Iterator[Row]:
    """Say what was observed, and with what."""
    yield "target", header.target or "not named"
    yield "instrument", " ".join(filter(None, (header.instrument, header.filter_name))) or "unnamed"
    known = header.redshift is not None
    yield "redshift", f"{header.redshift:.6f}" if known else "not in the file: 0 unless --redshift"


def _sky(header: CubeHeader) -> Iterator[Row]:
    """Give the centre of the cube on the sky and the size of a spaxel."""
    if not header.celestial:
        yield "sky", "no celestial WCS"
        return
    nx, ny = header.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(fits.Header(dict(header.celestial)))
        centre = wcs.pixel_to_world_values((nx - 1) / 2, (ny - 1) / 2)
        area = float(wcs.proj_plane_pixel_area().to_value("arcsec2"))
    first, second = (float(value) for value in centre)
    kinds = [str(header.celestial[f"CTYPE{axis}"])[:4].strip("-") for axis in (1, 2)]
    yield (
        "sky",
        f"centre {kinds[0]} {first:.6f} {kinds[1]} {second:.6f} deg, "
        f"{np.sqrt(area):.4f} arcsec a spaxel",
    )


def _sample(reader: CubeReader) -> Iterator[Row]:
    """Read some spectra and count what is bad in them."""
    spectra = bad = dead = unweighted = 0
    ratios: list[NDArray[np.floating]] = []
    corrs: list[NDArray[np.float64]] = []
    for batch in _batches(reader):
        good = np.isfinite(batch.data)
        spectra += len(batch)
        bad += int(np.count_nonzero(~good))
        dead += int(np.count_nonzero(~good.any(axis=1)))
        if batch.corr is not None:
            corrs.append(batch.corr[np.isfinite(batch.corr)])
        if batch.variance is not None:
            usable = good & (batch.variance > 0)
            unweighted += int(np.count_nonzero(good & ~usable))
            ratios.append(batch.data[usable] / np.sqrt(batch.variance[usable]))
    values = spectra * reader.header.axis.channels
    text = f"{spectra} spectra: {100 * bad / values:.2f} % of values bad, {dead} without any good"
    if unweighted:
        text += f", {100 * unweighted / values:.2f} % good without a variance"
    yield "sample", text
    if ratios and (joined := np.concatenate(ratios)).size:
        yield "signal", f"median over noise of a channel {np.median(joined):.3g}"
    if corrs and (joined := np.concatenate(corrs)).size and np.ptp(joined) > 0:
        yield "corr", f"{joined.min():.6f} to {joined.max():.6f} in the sample"


def _batches(reader: CubeReader) -> Iterator[SpectralBatch]:
    """Read the whole of a small cube, or nine squares of a large one."""
    nx, ny = reader.header.shape
    areas = [Area(0, nx, 0, ny)]
    if nx * ny > _SMALL:
        areas = [
            Area(x0, min(x0 + _SIDE, nx), y0, min(y0 + _SIDE, ny))
            for x0 in sorted({max(0, nx * part // 6 - _SIDE // 2) for part in _GRID})
            for y0 in sorted({max(0, ny * part // 6 - _SIDE // 2) for part in _GRID})
        ]
    for area in areas:
        yield reader.read(area, BatchKey(reader.header.name, 0, len(area)))


def _lines(header: CubeHeader) -> Iterator[Row]:
    """Name the strong lines the band covers, at the redshift of the file."""
    coordinate, kind = _coordinate(header.axis)
    low, high = float(coordinate[0]), float(coordinate[-1])
    if kind == "wavenumber":
        if header.band is not None:
            low, high = max(low, header.band[0]), min(high, header.band[1])
        low, high = 1e7 / high, 1e7 / low
    else:
        ends = np.array([low, high])
        low, high = (vacuum_to_air(ends) if kind == "vacuum" else ends) / 10.0
    redshift = header.redshift or 0.0
    names = default_lines(float(low), float(high), redshift=redshift)
    covered = ", ".join(names) or "none of the strong ones; give --lines or --redshift"
    yield "lines", f"{covered} (at redshift {redshift:g})"
