"""Spectral axes: wavenumbers of a Fourier-transform spectrometer, air and vacuum, velocities.

An interferometer with mirror step `step` [nm], folding order `order` and `n` channels samples the
wavenumbers between ``order / (2 step)`` and ``(order + 1) / (2 step)``, stretched by the spaxel's
`corr`, 1 / cos(theta) of its off-axis angle (Martin, Prunet & Drissen 2016, arXiv:1608.05854).
Wavenumbers are 1e7 over the AIR wavelength in nm, as the pipelines of SITELLE write them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SPEED_OF_LIGHT = 299792.458  # [km/s], exact (SI)
SINC_FWHM = 1.2067091288032283  # full width at half maximum of sin(pi u) / (pi u)
GAUSSIAN_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))  # per standard deviation


@dataclass(frozen=True, slots=True)
class UniformGrid:
    """Coordinates ``first + step * i`` for channel i of `channels`."""

    first: float
    step: float
    channels: int

    def coordinates(self) -> NDArray[np.float64]:
        """Give the coordinate of every channel, shape (channel,)."""
        return self.first + self.step * np.arange(self.channels, dtype=np.float64)

    def scaled(self, factor: float) -> "UniformGrid":
        """Stretch the grid, as a spaxel's own `corr` does."""
        return UniformGrid(self.first * factor, self.step * factor, self.channels)


def fts_grid(*, channels: int, step_nm: float, order: int, corr: float) -> UniformGrid:
    """Wavenumbers of an FTS [cm-1].

    Parameters
    ----------
    channels : int
        Channels of a spectrum.
    step_nm : float
        Step of the optical path difference [nm].
    order : int
        Folding order; odd orders are mirrored and start one channel later.
    corr : float
        1 / cos(theta) of the axis; the grid is proportional to it.

    Returns
    -------
    UniformGrid
        First wavenumber and step [cm-1].

    Raises
    ------
    ValueError
        If a number is not positive.
    """
    if channels < 2 or step_nm <= 0 or order < 0 or corr <= 0:
        raise ValueError(f"no axis from {channels=}, {step_nm=}, {order=}, {corr=}")
    step = corr / (2.0 * channels * step_nm) * 1e7
    first = order / (2.0 * step_nm) * corr * 1e7
    return UniformGrid(first + step if order % 2 else first, step, channels)


def ils_width(
    *, step_nm: float, step_nb: int, zpd_index: int, corr: ArrayLike
) -> NDArray[np.float64]:
    """Width W = 1 / (2 MPD) of the sinc line shape of an unapodized FTS.

    Parameters
    ----------
    step_nm : float
        Step of the optical path difference [nm].
    step_nb, zpd_index : int
        Steps recorded and index of zero path difference: the longer side counts.
    corr : array_like, shape (spaxel,)
        1 / cos(theta); NaN gives NaN.

    Returns
    -------
    ndarray, shape (spaxel,)
        Distance from the peak to the first zero [cm-1].

    Raises
    ------
    ValueError
        If no step was recorded after zero path difference.
    """
    if step_nb <= zpd_index or step_nm <= 0:
        raise ValueError(f"no path difference from {step_nm=}, {step_nb=}, {zpd_index=}")
    mpd = step_nm * (step_nb - zpd_index) / np.asarray(corr, dtype=np.float64) * 1e-7
    return 1.0 / (2.0 * mpd)


def vacuum_to_air(wavelength: ArrayLike) -> NDArray[np.float64]:
    """Air wavelength of a vacuum one, both [angstrom] (Ciddor 1996, eq. 1; above 2000 angstrom)."""
    vacuum = np.asarray(wavelength, dtype=np.float64)
    inverse = (1e4 / vacuum) ** 2
    index = 1.0 + 5.792105e-2 / (238.0185 - inverse) + 1.67917e-3 / (57.362 - inverse)
    return vacuum / index


def air_to_vacuum(wavelength: ArrayLike) -> NDArray[np.float64]:
    """Vacuum wavelength of an air one, both [angstrom]: the inverse of `vacuum_to_air`."""
    air = np.asarray(wavelength, dtype=np.float64)
    vacuum = air * 1.00028
    for _ in range(4):  # each pass gains four digits: the index hardly depends on wavelength
        vacuum = vacuum * air / vacuum_to_air(vacuum)
    return vacuum


def optical_to_relativistic(velocity: ArrayLike) -> NDArray[np.float64]:
    """Radial velocity v of an optical one c z: 1 + z = sqrt((1 + v/c) / (1 - v/c)) [km/s]."""
    squared = (1.0 + np.asarray(velocity, dtype=np.float64) / SPEED_OF_LIGHT) ** 2
    return SPEED_OF_LIGHT * (squared - 1.0) / (squared + 1.0)


def relativistic_to_optical(velocity: ArrayLike) -> NDArray[np.float64]:
    """Optical velocity c z of a radial one [km/s]."""
    beta = np.asarray(velocity, dtype=np.float64) / SPEED_OF_LIGHT
    return SPEED_OF_LIGHT * (np.sqrt((1.0 + beta) / (1.0 - beta)) - 1.0)
