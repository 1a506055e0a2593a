"""Instruments to simulate: spectral axis, line shape and band, without noise.

`Fourier` is an imaging Fourier-transform spectrometer such as SITELLE. Light passes a filter before
it enters the interferometer, so lines and continuum end at the band while the sinc wings of the
lines run on beyond it. Its axis and line width follow the angle theta of each spaxel off the
optical axis, corr = 1 / cos(theta). `Grating` is a slicer or fibre spectrograph: wavelengths in air
or vacuum and a Gaussian line spread, the same for all spaxels.

Neither knows of noise, files or units: a line is a peak times a shape, and `areas` gives the
wavelength integral [angstrom] of a shape of peak one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..io.records import FtsAxis
from ..kernels.axis import GAUSSIAN_FWHM, SPEED_OF_LIGHT, air_to_vacuum, fts_grid, ils_width
from ..kernels.ils import gaussian, gaussian_flux, sincgauss, sincgauss_flux
from ..kernels.lines import REST_AIR_NM
from .filters import Filter

Array = NDArray[np.float64]

_BLOCK = 256  # spaxels computed at once: the temporaries stay in the cache


@dataclass(frozen=True, slots=True)
class Motion:
    """Kinematics of the gas and the angle it is seen at; arrays of shape (spaxel,).

    `velocity` is optical, c dlambda / lambda0, relative to the redshift [km/s]; `broadening` is a
    standard deviation [km/s]; `corr` is 1 / cos(theta), which gratings ignore.
    """

    velocity: Array
    broadening: Array
    corr: Array

    def rows(self, part: slice) -> "Motion":
        """Give some of the spaxels."""
        return Motion(self.velocity[part], self.broadening[part], self.corr[part])


@dataclass(frozen=True, slots=True)
class Light:
    """What reaches the instrument, in the unit of the data.

    Parameters
    ----------
    peaks : ndarray, shape (spaxel, line)
        Peak of each line as observed.
    continuum : ndarray, shape (spaxel,)
        At the middle of the band.
    slope : ndarray, shape (spaxel,)
        Relative change of the continuum from the middle of the band to its upper edge.
    """

    peaks: Array
    continuum: Array
    slope: Array


class Instrument(Protocol):
    """What the simulation asks of a spectrograph."""

    @property
    def channels(self) -> int:
        """Channels of a spectrum."""
        ...

    @property
    def lines(self) -> Sequence[str]:
        """Lines it is shown."""
        ...

    def areas(self, motion: Motion) -> Array:
        """Wavelength integral of each line for a peak of one [angstrom], (spaxel, line)."""
        ...

    def transmission(self, motion: Motion) -> Array:
        """Share of each line that passes the filter, shape (spaxel, line)."""
        ...

    def places(self, motion: Motion) -> Array:
        """Place of each line in the band, -1 to 1 from edge to edge, shape (spaxel, line)."""
        ...

    def spectra(self, motion: Motion, light: Light) -> Array:
        """Spectra without noise, shape (spaxel, channel)."""
        ...


@dataclass(frozen=True, slots=True)
class Fourier:
    """Imaging Fourier-transform spectrometer; coordinates are wavenumbers [cm-1]."""

    axis: FtsAxis
    filter: Filter
    lines: Sequence[str]
    redshift: float = 0.0

    @property
    def channels(self) -> int:
        """Channels of a spectrum."""
        return self.axis.channels

    def width(self, corr: Array) -> Array:
        """Width of the sinc [cm-1], shape (spaxel,)."""
        axis = self.axis
        return ils_width(
            step_nm=axis.step_nm, step_nb=axis.step_nb, zpd_index=axis.zpd_index, corr=corr
        )

    def _centres(self, motion: Motion) -> Array:
        rest = 1e7 / np.array([REST_AIR_NM[name] for name in self.lines]) / (1 + self.redshift)
        return rest / (1 + motion.velocity[:, None] / SPEED_OF_LIGHT)

    def areas(self, motion: Motion) -> Array:
        """Wavelength integral of each line for a peak of one [angstrom], (spaxel, line)."""
        centres = self._centres(motion)
        sigma = motion.broadening[:, None] / SPEED_OF_LIGHT * centres
        return sincgauss_flux(sigma, self.width(motion.corr)[:, None]) * 1e8 / centres**2

    def transmission(self, motion: Motion) -> Array:
        """Share of each line that passes the filter, shape (spaxel, line)."""
        return self.filter.transmission(self._centres(motion))

    def places(self, motion: Motion) -> Array:
        """Place of each line in the band, -1 to 1 from edge to edge, shape (spaxel, line)."""
        return self.filter.place(self._centres(motion))

    def spectra(self, motion: Motion, light: Light) -> Array:
        """Spectra without noise, shape (spaxel, channel)."""
        out = np.empty((motion.velocity.size, self.channels))
        for start in range(0, len(out), _BLOCK):
            part = slice(start, start + _BLOCK)
            self._fill(out[part], motion.rows(part), light, part)
        return out

    def _fill(self, out: Array, motion: Motion, light: Light, part: slice) -> None:
        axis = self.axis
        unit = fts_grid(
            channels=axis.channels, step_nm=axis.step_nm, order=axis.order, corr=1.0
        ).coordinates()
        corr = np.full(1, axis.axis_corr) if axis.calibrated else motion.corr
        wavenumber = unit * corr[:, None]
        shape = 1 + light.slope[part, None] * self.filter.place(wavenumber)
        out[:] = light.continuum[part, None] * shape * self.filter.transmission(wavenumber)
        width = self.width(motion.corr)[:, None]
        for k, centre in enumerate(self._centres(motion).T[:, :, None]):
            sigma = motion.broadening[:, None] / SPEED_OF_LIGHT * centre
            out += light.peaks[part, k, None] * sincgauss(wavenumber - centre, sigma, width)


@dataclass(frozen=True, slots=True)
class Grating:
    """Slicer or fibre spectrograph with a Gaussian line spread.

    Parameters
    ----------
    coordinate : ndarray, shape (channel,)
        Wavelength [angstrom].
    vacuum : bool
        Whether `coordinate` is a vacuum wavelength; air if not.
    resolution : float
        Wavelength over the full width at half maximum of the line spread.
    lines : sequence of str
        Lines it is shown.
    redshift : float
        Of the source.
    """

    coordinate: Array
    vacuum: bool
    resolution: float
    lines: Sequence[str]
    redshift: float = 0.0

    @property
    def channels(self) -> int:
        """Channels of a spectrum."""
        return self.coordinate.size

    @property
    def lsf_sigma(self) -> Array:
        """Standard deviation of the line spread in each channel [angstrom], shape (channel,)."""
        return self.coordinate / (GAUSSIAN_FWHM * self.resolution)

    def _centres(self, motion: Motion) -> Array:
        rest = 10.0 * np.array([REST_AIR_NM[name] for name in self.lines])
        rest = air_to_vacuum(rest) if self.vacuum else rest
        return rest * (1 + self.redshift) * (1 + motion.velocity[:, None] / SPEED_OF_LIGHT)

    def _sigma(self, motion: Motion) -> Array:
        centres = self._centres(motion)
        broadening = motion.broadening[:, None] / SPEED_OF_LIGHT * centres
        return np.hypot(broadening, centres / (GAUSSIAN_FWHM * self.resolution))

    def areas(self, motion: Motion) -> Array:
        """Wavelength integral of each line for a peak of one [angstrom], (spaxel, line)."""
        return gaussian_flux(self._sigma(motion))

    def transmission(self, motion: Motion) -> Array:
        """Share of each line that passes the filter: all of it."""
        return np.ones((motion.velocity.size, len(self.lines)))

    def places(self, motion: Motion) -> Array:
        """Place of each line in the band, -1 to 1 from edge to edge, shape (spaxel, line)."""
        return self._place(self._centres(motion))

    def _place(self, wavelength: Array) -> Array:
        low, high = self.coordinate[0], self.coordinate[-1]
        return (wavelength - 0.5 * (low + high)) / (0.5 * (high - low))

    def spectra(self, motion: Motion, light: Light) -> Array:
        """Spectra without noise, shape (spaxel, channel)."""
        place = self._place(self.coordinate)
        out = light.continuum[:, None] * (1 + light.slope[:, None] * place)
        centres, sigma = self._centres(motion), self._sigma(motion)
        for k in range(len(self.lines)):
            offset = self.coordinate - centres[:, k, None]
            out += light.peaks[:, k, None] * gaussian(offset, sigma[:, k, None])
        return out
