"""Spectrographs whose cubes come as FITS: their usual axes, and the headers of their pipelines.

Keywords follow real files: MUSE DR1 (extensions DATA, STAT, DQ), MaNGA DR17 LOGCUBE (FLUX, IVAR,
MASK, LSFPOST, WAVE; vacuum, logarithmic) and SAMI DR3 (primary image, VARIANCE).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .spectrographs import Grating

# Strong OH lines [angstrom, air] under which the noise is higher (Hanuschik 2003, A&A 407, 1157).
_SKY_LINES = (5577.34, 6300.30, 6363.78, 6498.73, 6533.04, 6553.62, 6863.96, 6923.22, 7276.41)

Plane = Literal["data", "variance", "inverse", "flags", "lsf"]
Described = tuple[dict[str, Plane], list[fits.Header]]


@dataclass(frozen=True, slots=True)
class GratingLayout:
    """A spectrograph's usual axis and the way its pipeline writes.

    Parameters
    ----------
    instrument, telescope : str
        As the header names them.
    first : float
        First wavelength of the band worth simulating, at redshift zero [angstrom].
    step : float
        Per channel: [angstrom], or the step of log10 where `logarithmic`.
    channels : int
        Usual number.
    resolution : float
        Wavelength over full width at half maximum of the line spread.
    vacuum, logarithmic : bool
        Kind of axis.
    unit : str
        BUNIT.
    noise : float
        Typical standard deviation in a channel, in `unit`.
    pixel : float
        Width of a spaxel [arcsec].
    describe : callable
        Turns NAXIS, the shared cards and the target's name into the headers of the HDUs and what
        each image holds.
    """

    instrument: str
    telescope: str
    first: float
    step: float
    channels: int
    resolution: float
    vacuum: bool
    logarithmic: bool
    unit: str
    noise: float
    pixel: float
    describe: "Callable[[tuple[int, int, int], fits.Header, str], Described]"

    def coordinate(self, channels: int, redshift: float) -> NDArray[np.float64]:
        """Wavelengths [angstrom], following the redshift in whole steps."""
        number = np.arange(channels or self.channels)
        if self.logarithmic:
            shift = round(float(np.log10(1 + redshift)) / self.step)
            return self.first * np.power(10.0, self.step * (number + shift))
        shift = round(self.first * redshift / self.step)
        return self.first + self.step * (number + shift).astype(np.float64)

    def loudness(self, coordinate: NDArray[np.float64]) -> NDArray[np.float64]:
        """Noise of each channel relative to a quiet one: up to three times higher under the sky."""
        offset = (coordinate[:, None] - np.array(_SKY_LINES)) / 1.5
        return 1.0 + 2.0 * np.exp(-0.5 * offset**2).sum(axis=1)


def image_header(bitpix: int, lengths: Sequence[int], name: str = "") -> fits.Header:
    """Mandatory cards of an image; of an extension if it has a name."""
    cards: list[tuple[str, Any]] = [("XTENSION", "IMAGE")] if name else [("SIMPLE", True)]
    cards += [("BITPIX", bitpix), ("NAXIS", len(lengths))]
    cards += [(f"NAXIS{n}", length) for n, length in enumerate(lengths, start=1)]
    cards += [("PCOUNT", 0), ("GCOUNT", 1), ("EXTNAME", name)] if name else [("EXTEND", True)]
    return fits.Header(cards)


def celestial_and_spectral(
    layout: GratingLayout, instrument: Grating, shape: tuple[int, int]
) -> fits.Header:
    """Cards that the pipelines share: WCS, unit, target's redshift left out."""
    scale = layout.pixel / 3600
    first, second = instrument.coordinate[:2]
    step = second - first
    if layout.logarithmic:  # Greisen et al. 2006 (A&A 446, 747), eq. 5
        step = first * float(np.log(second / first))
    cards = fits.Header()
    for name, value in {
        "CRPIX1": 0.5 * shape[0] + 0.5,
        "CRPIX2": 0.5 * shape[1] + 0.5,
        "CRVAL1": 184.470375,
        "CRVAL2": -0.657222,
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CD1_1": -scale,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": scale,
        "CTYPE3": "WAVE-LOG" if layout.logarithmic else "WAVE" if layout.vacuum else "AWAV",
        "CUNIT3": "Angstrom",
        "CRPIX3": 1.0,
        "CRVAL3": first,
        "CD3_3": step,
        "RADESYS": "FK5",
        "EQUINOX": 2000.0,
        "TELESCOP": layout.telescope,
        "INSTRUME": layout.instrument,
        "BUNIT": layout.unit,
    }.items():
        cards[name] = value
    if instrument.redshift:
        cards["Z_SPEC"] = (instrument.redshift, "Redshift of the target")
    return cards


def _muse(lengths: tuple[int, int, int], cards: fits.Header, target: str) -> Described:
    primary = image_header(8, ())
    for name in ("TELESCOP", "INSTRUME"):
        primary[name] = cards.pop(name)
    primary["OBJECT"] = target
    if "Z_SPEC" in cards:
        del cards["Z_SPEC"]  # MUSE headers know nothing of the target
    data, stat = image_header(-32, lengths, "DATA"), image_header(-32, lengths, "STAT")
    for header in (data, stat):
        header.update(cards.copy())
        header["OBJECT"] = f"{target} ({header['EXTNAME']})"
        header["HDUCLASS"], header["HDUDOC"] = "ESO", "DICD"
        header["ERRDATA"] = "STAT"
    stat["BUNIT"] = "10**(-40)*erg**2/s**2/cm**4/Angstrom**2"
    headers = [primary, data, stat, image_header(8, lengths, "DQ")]
    return {"DATA": "data", "STAT": "variance", "DQ": "flags"}, headers


def _manga(lengths: tuple[int, int, int], cards: fits.Header, target: str) -> Described:
    primary = image_header(8, ())
    for name in ("TELESCOP", "INSTRUME"):
        primary[name] = cards.pop(name)
    primary["OBJECT"] = primary["MANGAID"] = target
    cards.pop("Z_SPEC", None)  # nor do those of MaNGA
    flux, inverse = image_header(-32, lengths, "FLUX"), image_header(-32, lengths, "IVAR")
    mask, lsf = image_header(32, lengths, "MASK"), image_header(-32, lengths, "LSFPOST")
    for header in (flux, inverse, mask, lsf):
        header.update(cards.copy())
    inverse["BUNIT"], lsf["BUNIT"] = "1E34 (erg/s/cm^2/Ang/spaxel)^-2", "Angstrom"
    del mask["BUNIT"]
    flux["ERRDATA"], flux["QUALDATA"] = "IVAR", "MASK"
    headers = [primary, flux, inverse, mask, lsf, image_header(-64, lengths[2:], "WAVE")]
    return {"FLUX": "data", "IVAR": "inverse", "MASK": "flags", "LSFPOST": "lsf"}, headers


def _sami(lengths: tuple[int, int, int], cards: fits.Header, target: str) -> Described:
    primary = image_header(-64, lengths)
    primary.update(cards.copy())
    primary["CDELT1"], primary["CDELT2"] = primary.pop("CD1_1"), primary.pop("CD2_2")
    primary["CDELT3"] = primary.pop("CD3_3")
    for name in ("CD1_2", "CD2_1"):
        del primary[name]
    primary["NAME"], primary["SPECTID"] = target, "RD"
    return {"PRIMARY": "data", "VARIANCE": "variance"}, [
        primary,
        image_header(-64, lengths, "VARIANCE"),
    ]


GRATINGS: Mapping[str, GratingLayout] = {
    "muse": GratingLayout(
        instrument="MUSE",
        telescope="ESO-VLT-U4",
        first=6400.0,
        step=1.25,
        channels=340,
        resolution=2750.0,
        vacuum=False,
        logarithmic=False,
        unit="10**(-20)*erg/s/cm**2/Angstrom",
        noise=20.0,
        pixel=0.2,
        describe=_muse,
    ),
    "manga": GratingLayout(
        instrument="MaNGA",
        telescope="SDSS 2.5-M",
        first=6350.0,
        step=1e-4,
        channels=420,
        resolution=2000.0,
        vacuum=True,
        logarithmic=True,
        unit="1E-17 erg/s/cm^2/Ang/spaxel",
        noise=0.02,
        pixel=0.5,
        describe=_manga,
    ),
    "sami": GratingLayout(
        instrument="AAOMEGA-SAMI",
        telescope="Anglo-Australian Telescope",
        first=6240.0,
        step=0.5959941377626,
        channels=2048,
        resolution=4260.0,
        vacuum=False,
        logarithmic=False,
        unit="10**(-16) erg /s /cm**2 /angstrom /pixel",
        noise=0.004,
        pixel=0.5,
        describe=_sami,
    ),
}
