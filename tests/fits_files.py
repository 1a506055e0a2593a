"""Small FITS cubes in the layouts of the pipelines, for the tests of the FITS reader."""

from pathlib import Path

import numpy as np
from astropy.io import fits

SKY = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.2,
    "CRPIX1": 3.0,
    "CRPIX2": 2.0,
    "CUNIT1": "deg",
    "CUNIT2": "deg",
    "CDELT1": -0.2 / 3600,
    "CDELT2": 0.2 / 3600,
}
AIR = {
    "CTYPE3": "AWAV",
    "CUNIT3": "Angstrom",
    "CRVAL3": 6500.0,
    "CDELT3": 1.25,
    "CRPIX3": 1.0,
}
FLUX_UNIT = "10**(-20)*erg/s/cm**2/Angstrom"
SHAPE = (60, 4, 5)  # channel, y, x
SIGMA = 3.0


def spectra(shape: tuple[int, int, int] = SHAPE, *, sigma: float = SIGMA, dtype="f4") -> np.ndarray:
    """A sloping continuum with white noise; every value another."""
    rng = np.random.default_rng(7)
    slope = np.linspace(80.0, 120.0, shape[0])[:, None, None]
    return (slope + rng.normal(0.0, sigma, shape)).astype(dtype)


def image(data: np.ndarray | None, name: str | None = None, **cards) -> fits.ImageHDU:
    """An image extension; keywords that are no identifiers go in as a dict through `cards`."""
    hdu = fits.ImageHDU(data)
    if name is not None:
        hdu.header["EXTNAME"] = name
    for key, value in cards.items():
        hdu.header[key] = value
    return hdu


def write(path: Path, *hdus, **cards) -> Path:
    """Write HDUs; the first becomes primary if it is bare data, else behind an empty primary."""
    first = fits.PrimaryHDU(hdus[0]) if isinstance(hdus[0], np.ndarray) else fits.PrimaryHDU()
    rest = hdus[1:] if isinstance(hdus[0], np.ndarray) else hdus
    for key, value in cards.items():
        first.header[key] = value
    fits.HDUList([first, *rest]).writeto(path)
    return path


def plain(path: Path, data: np.ndarray | None = None, **cards) -> Path:
    """A cube alone in the primary HDU; a card set to None is left out."""
    data = spectra() if data is None else data
    given = {**SKY, **AIR, "BUNIT": FLUX_UNIT, **cards}
    return write(path, data, **{key: value for key, value in given.items() if value is not None})


def muse(path: Path, **cards) -> Path:
    """DATA, STAT, DQ behind an empty primary."""
    data = spectra()
    stat = np.full(SHAPE, SIGMA**2, "f4")
    quality = np.zeros(SHAPE, "u1")
    quality[10, 1, 2] = 1
    stat[20, 0, 0] = 0.0
    data[30, 3, 4] = np.nan
    head = {**SKY, **AIR, "BUNIT": FLUX_UNIT, **cards}
    head["CD3_3"] = head.pop("CDELT3")
    return write(
        path,
        image(data, "DATA", **head),
        image(stat, "STAT", BUNIT="10**(-40)*erg**2/s**2/cm**4/Angstrom**2"),
        image(quality, "DQ"),
        INSTRUME="MUSE",
        OBJECT="a galaxy",
    )


def manga(path: Path, *, width: str = "LSFPOST", log: bool = True) -> Path:
    """FLUX, IVAR, MASK, WAVE and the width of the line."""
    data = spectra()
    ivar = np.full(SHAPE, SIGMA**-2, "f4")
    mask = np.zeros(SHAPE, "i4")
    mask[5, 0, 0] = 1 << 10
    mask[6, 0, 0] = 1 << 20  # a bit that says nothing against a value
    ivar[7, 0, 0] = 0.0
    data[7, 0, 0] = 0.0
    wave = 6500.0 * 10 ** (1e-4 * np.arange(SHAPE[0]))
    axis = {"CTYPE3": "WAVE-LOG", "CUNIT3": "Angstrom", "CRVAL3": 6500.0, "CRPIX3": 1.0}
    axis["CD3_3"] = 6500.0 * np.log(10) * 1e-4
    if not log:
        wave = 6500.0 + 1.5 * np.arange(SHAPE[0])
        axis = {**axis, "CTYPE3": "WAVE", "CD3_3": 1.5}
    hdus = [
        image(data, "FLUX", **SKY, **axis, BUNIT="1E-17 erg/s/cm^2/Ang/spaxel"),
        image(ivar, "IVAR"),
        image(mask, "MASK"),
        image(wave, "WAVE"),
    ]
    resolution = image(np.full(SHAPE[0], 2000.0), "SPECRES")
    if width != "SPECRES":
        lsf = np.full(SHAPE, 1.2, "f4") * np.linspace(1.0, 1.1, SHAPE[0], dtype="f4")[:, None, None]
        lsf[:, 0, 0] = 0.0  # outside the bundle
        lsf[:, 1, 1] = 1.0
        hdus.append(image(lsf, width))
    return write(path, *hdus, resolution, INSTRUME="MaNGA", MANGAID="1-1", PLATEIFU="7443-1")


def sami(path: Path) -> Path:
    """A cube in the primary HDU, VARIANCE, and the numbers of its bins."""
    data = spectra(dtype="f8")
    data[:, 0, :] = np.nan
    variance = np.full(SHAPE, SIGMA**2)
    return write(
        path,
        data,
        image(variance, "VARIANCE"),
        image(np.arange(20, dtype="i4").reshape(4, 5), "BIN_MASK"),
        image(np.ones(SHAPE[0]), "DUST"),
        **SKY,
        **AIR,
        BUNIT="10**(-16) erg /s /cm**2 /angstrom /pixel",
        INSTRUME="AAOMEGA-SAMI",
        NAME="41144",
        Z_SPEC=0.02964,
        ORDER=1,
    )


def gmos(path: Path, *, err: np.ndarray | None = None, scale: float = 1e-18, **err_cards) -> Path:
    """SCI, an ERR of unclear meaning, and a mask of spaxels."""
    mask = np.zeros(SHAPE[1:], "i8")
    mask[2, 3] = 1
    cards = {"CTYPE3": "LAMBDA", "CRVAL3": 6500.0, "CRPIX3": 1.0, "CD3_3": 0.68}
    variance = np.full(SHAPE, (SIGMA * scale) ** 2)
    return write(
        path,
        image(
            (spectra() * scale).astype("f4"),
            "SCI",
            **cards,
            CTYPE1="LINEAR",
            CTYPE2="LINEAR",
            BUNIT="erg/cm2/s/A/arcsec2",
        ),
        image((variance if err is None else err).astype("f4"), "ERR", **err_cards),
        image(mask, "MASK"),
        REDSHIFT=0.007976,
    )


STEPS = {"STEP": 2943.025792, "STEPNB": 320, "ZPDINDEX": 64, "ORDER": 8, "AXISCORR": 1.03735082042}


def orb(path: Path, *, channels: int = 320, **cards) -> Path:
    """An export of ORB: the header of NGC 6946 in SN3."""
    given = {
        **SKY,
        **STEPS,
        "CTYPE3": "WAVE-SIP",
        "CUNIT3": "cm-1",
        "CRVAL3": 14099.1060729,
        "CDELT3": 5.50746330974,
        "CRPIX3": 1.0,
        "WAVTYPE": "WAVENUMBER",
        "APODIZ": 1.0,
        "FILTER": "SN3",
        "OBJECT": "NGC6946",
        "BUNIT": "FLUX",
        **cards,
    }
    given = {key: value for key, value in given.items() if value is not None}
    return write(path, spectra((channels, 3, 2)), **given)


def luci(path: Path) -> Path:
    """An export of LUCI: wavenumbers under the name of a frequency."""
    axis = {"CTYPE3": "FREQ", "CRVAL3": 14099.1, "CDELT3": 5.5, "CRPIX3": 1.0}
    return write(path, spectra(), **SKY, **axis)
