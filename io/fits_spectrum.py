"""An intrinsic spectrum as FITS: a table to read, and a table model for XSPEC and Sherpa.

The extension INTRINSIC has a row for each energy bin: its edges, the photon flux density, and the
edges of its bands. PARAMETERS, ENERGIES and SPECTRA make the file an additive table model (OGIP
92-009, ``atable{FILE}``): photons per bin, normalised to one, with the one parameter ``band`` that
moves the spectrum between -2 and 2 of its standard deviations. What is not known is NaN in
INTRINSIC and zero in the table model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .products import write_whole

Array = NDArray[np.float64]

_STEPS = np.arange(-2.0, 2.01)  # standard deviations at which the table model has spectra
_WIDE = 1.959964  # of a band of 95 %
_UNIT = "photon cm**-2 s**-1 keV**-1"
_MODEL = {"HDUCLASS": "OGIP", "HDUCLAS1": "XSPEC TABLE MODEL", "HDUVERS": "1.0.0"}


@dataclass(frozen=True, slots=True)
class IntrinsicSpectrum:
    """A photon spectrum as it was before the telescope.

    Parameters
    ----------
    name : str
        Of the observation.
    edges : ndarray, shape (energy + 1,)
        [keV].
    log_flux, sigma : ndarray, shape (energy,)
        ln of the photon flux density [photons/cm2/s/keV] and its standard deviation; NaN where not
        known.
    """

    name: str
    edges: Array
    log_flux: Array
    sigma: Array


def write_spectrum(path: Path, spectrum: IntrinsicSpectrum, *, cards: Mapping[str, Any]) -> None:
    """Write one spectrum, whole or not at all.

    Parameters
    ----------
    path : Path
        The file, replaced if it is there.
    spectrum : IntrinsicSpectrum
    cards : mapping
        FITS cards for the primary header and INTRINSIC: keyword to value, or (value, comment).

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    primary = fits.PrimaryHDU()
    model: dict[str, Any] = {
        **_MODEL,
        "MODLNAME": (spectrum.name[:12], "name of the model"),
        "MODLUNIT": ("photons/cm^2/s", "unit of the spectra"),
        "REDSHIFT": (False, "no redshift is a parameter"),
        "ADDMODEL": (True, "additive"),
        "LOELIMIT": (0.0, "below the energies"),
        "HIELIMIT": (0.0, "above the energies"),
    }
    for name, value in {**cards, **model}.items():
        primary.header[name] = value
    tables = [_intrinsic(spectrum, cards), _parameters(), _energies(spectrum), _spectra(spectrum)]
    write_whole(path, fits.HDUList([primary, *tables]))


def _intrinsic(spectrum: IntrinsicSpectrum, cards: Mapping[str, Any]) -> fits.BinTableHDU:
    """Give the table for people."""
    with np.errstate(invalid="ignore"):
        bands = [
            np.exp(spectrum.log_flux + away * spectrum.sigma) for away in (-1, 1, -_WIDE, _WIDE)
        ]
    names = ("FLUX_LO68", "FLUX_HI68", "FLUX_LO95", "FLUX_HI95")
    columns = [
        fits.Column("ENERG_LO", "D", "keV", array=spectrum.edges[:-1]),
        fits.Column("ENERG_HI", "D", "keV", array=spectrum.edges[1:]),
        fits.Column("FLUX", "D", _UNIT, array=np.exp(spectrum.log_flux)),
        *(
            fits.Column(name, "D", _UNIT, array=band)
            for name, band in zip(names, bands, strict=True)
        ),
        fits.Column("LN_SIGMA", "D", array=spectrum.sigma),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="INTRINSIC")
    for name, value in cards.items():
        hdu.header[name] = value
    return hdu


def _parameters() -> fits.BinTableHDU:
    """Declare the one parameter of the table model."""
    ends = {"MINIMUM": -2.0, "BOTTOM": -2.0, "TOP": 2.0, "MAXIMUM": 2.0}
    columns = [
        fits.Column("NAME", "12A", array=["band"]),
        fits.Column("METHOD", "J", array=[0]),  # interpolated linearly
        fits.Column("INITIAL", "E", array=[0.0]),
        fits.Column("DELTA", "E", array=[-0.1]),  # negative: frozen unless thawed
        *(fits.Column(name, "E", array=[end]) for name, end in ends.items()),
        fits.Column("NUMBVALS", "J", array=[_STEPS.size]),
        fits.Column("VALUE", f"{_STEPS.size}E", array=_STEPS[None]),
    ]
    return _part("PARAMETERS", columns, NINTPARM=1, NADDPARM=0)


def _energies(spectrum: IntrinsicSpectrum) -> fits.BinTableHDU:
    """Give the energies of the table model."""
    columns = [
        fits.Column("ENERG_LO", "E", "keV", array=spectrum.edges[:-1]),
        fits.Column("ENERG_HI", "E", "keV", array=spectrum.edges[1:]),
    ]
    return _part("ENERGIES", columns)


def _spectra(spectrum: IntrinsicSpectrum) -> fits.BinTableHDU:
    """Give the photons of each bin, at every value of the parameter."""
    log_flux = spectrum.log_flux + _STEPS[:, None] * np.nan_to_num(spectrum.sigma)
    photons = np.nan_to_num(np.exp(log_flux)) * np.diff(spectrum.edges)
    columns = [
        fits.Column("PARAMVAL", "E", array=_STEPS),
        fits.Column("INTPSPEC", f"{photons.shape[1]}E", "photons/cm^2/s", array=photons),
    ]
    return _part("SPECTRA", columns, HDUCLAS2="MODEL SPECTRA")


def _part(name: str, columns: list[fits.Column], **cards: Any) -> fits.BinTableHDU:
    """Make an extension of the table model."""
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    for keyword, value in {**_MODEL, "HDUCLAS2": name, **cards}.items():
        hdu.header[keyword] = value
    return hdu
