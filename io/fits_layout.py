"""What the images of a FITS cube mean: one loader for each pipeline.

=========  ==================  =====================  ====================================
pipeline   spectra             noise                  bad channels
=========  ==================  =====================  ====================================
MaNGA      FLUX                IVAR, 1 / variance     MASK, bits of MANGA_DRP3PIXMASK
MUSE       DATA                STAT, variance         DQ, not 0
SAMI       PRIMARY             VARIANCE               NaN
ORB, LUCI  PRIMARY             none                   NaN
others     SCI, DATA, FLUX,    by EXTNAME; ERR may    DQ, MASK, FLAG..., not 0, of the
           or the first cube   be sigma or variance   cube or of its spaxels
=========  ==================  =====================  ====================================

Only MaNGA's files say how wide the instrument's line is.
"""

import re
from dataclasses import dataclass
from typing import Literal

from .errors import InputError
from .fits_cards import Cards, text
from .fits_file import FitsFile, FitsImage

NoiseKind = Literal["variance", "sigma", "inverse variance", "unknown"]

# MANGA_DRP3PIXMASK (SDSS DR17 bitmasks): NOCOV 0, LOWCOV 1, DEADFIBER 2, FORESTAR 3, DONOTUSE 10.
MANGA_BAD = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 10
ANY_BIT = -1

_WCS = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d|(CD|PC)\d_\d|DC-FLAG|EQUINOX|RADESYS|L..POLE"
)

_SPECTRA = ("SCI", "DATA", "FLUX", "PRIMARY", "CUBE", "SPECTRA", "")
_NOISE: dict[str, NoiseKind] = {
    "STAT": "variance",
    "VARIANCE": "variance",
    "VAR": "variance",
    "IVAR": "inverse variance",
    "STDDEV": "sigma",
    "STD": "sigma",
    "SIGMA": "sigma",
    "ERR": "unknown",
    "ERROR": "unknown",
    "ERRORS": "unknown",
    "UNCERT": "unknown",
    "UNCERTAINTY": "unknown",
    "NOISE": "unknown",
}
# HDUCLAS3 of an error HDU (ESO, VLT-SPE-ESO-19500-5667, pipeline products with errors).
_ESO_KINDS: dict[str, NoiseKind] = {
    "MSE": "variance",
    "RMSE": "sigma",
    "INVMSE": "inverse variance",
}
# Bacon et al. 2017, A&A 608, A1, equation 8: of a deep field, offered as a value to give.
_MUSE_LSF = (
    "the file has no LSF; for MUSE FWHM = 5.866e-8 w^2 - 9.187e-4 w + 6.040 angstrom is usual, "
    "w / FWHM a value for --resolution"
)
_MASKS = ("DQ", "MASK", "BADPIX", "FLAG", "FLAGS", "QUALITY")
# The line as sampled comes first: a Gaussian taken at channel centres has the pixel in it.
_MANGA_SIGMA = ("LSFPOST", "DISP", "LSFPRE", "PREDISP")
_MANGA_RESOLUTION = ("SPECRES", "PRESPECRES")


@dataclass(frozen=True, slots=True)
class Layout:
    """The images of a cube by their meaning.

    Parameters
    ----------
    title : str
        The format in words.
    cards : dict
        Of the cube's HDU, the primary ones behind them.
    spectra : FitsImage
        Shape (channel, y, x).
    noise : FitsImage or None
        Of the same shape.
    noise_kind : str
        What `noise` holds; "unknown" where its name leaves it open.
    mask : FitsImage or None
        Shape (channel, y, x) or (y, x).
    mask_bits : int
        Bits that make a channel bad; -1 for any.
    table : FitsImage or None
        Wavelengths, shape (channel,).
    lsf : FitsImage or None
        Width of the instrument's line, shape (channel,) or (channel, y, x).
    lsf_is_resolution : bool
        Whether `lsf` is wavelength over full width, and not a standard deviation [angstrom].
    notes : tuple of str
        What was assumed.
    """

    title: str
    cards: Cards
    spectra: FitsImage
    noise: FitsImage | None = None
    noise_kind: NoiseKind = "variance"
    mask: FitsImage | None = None
    mask_bits: int = ANY_BIT
    table: FitsImage | None = None
    lsf: FitsImage | None = None
    lsf_is_resolution: bool = False
    notes: tuple[str, ...] = ()


def find_layout(file: FitsFile) -> Layout:
    """Tell which image is which.

    Parameters
    ----------
    file : FitsFile

    Returns
    -------
    Layout
        Shapes agree.

    Raises
    ------
    InputError
        If there is no cube, or a companion has another shape than the spectra.
    """
    layout = _manga(file) or _muse(file) or _sami(file) or _orb(file) or _generic(file)
    return _checked(layout)


def _manga(file: FitsFile) -> Layout | None:
    """Find the cube of MaNGA's pipeline, LOGCUBE or LINCUBE (Law et al. 2016, AJ 152, 83)."""
    spectra, noise = file.find("FLUX", ndim=3), file.find("IVAR")
    if spectra is None or noise is None:
        return None
    width = file.find(*_MANGA_SIGMA)
    resolution = file.find(*_MANGA_RESOLUTION, ndim=1) if width is None else None
    mask = file.find("MASK")
    named = "MANGA" in text(file.primary, "INSTRUME", "SURVEY", "PLATEIFU", "MANGAID").upper()
    manga = named or "PLATEIFU" in file.primary or width is not None
    notes = () if width is None or width.name in _MANGA_SIGMA[:2] else (_before_pixels(width),)
    return Layout(
        title="MaNGA" if manga else "cube with inverse variance",
        cards=_cards(file, spectra),
        spectra=spectra,
        noise=noise,
        noise_kind="inverse variance",
        mask=mask,
        mask_bits=MANGA_BAD if manga else ANY_BIT,
        table=file.find("WAVE", ndim=1),
        lsf=width or resolution,
        lsf_is_resolution=width is None,
        notes=notes,
    )


def _before_pixels(width: FitsImage) -> str:
    """Say that a line spread leaves out the channel."""
    return f"{width.name} is the line before it is sampled: a little narrower than in the spectra"


def _muse(file: FitsFile) -> Layout | None:
    """Find the cube of the MUSE pipeline (Weilbacher et al. 2020, A&A 641, A28, section 4.2)."""
    spectra = file.find("DATA", ndim=3)
    if spectra is None or not _is_muse(file):
        return None
    return Layout(
        title="MUSE",
        cards=_cards(file, spectra),
        spectra=spectra,
        noise=file.find("STAT"),
        mask=file.find("DQ"),
        notes=(_MUSE_LSF,),
    )


def _is_muse(file: FitsFile) -> bool:
    """Whether the instrument is MUSE, or the two extensions carry its names."""
    return "MUSE" in text(file.primary, "INSTRUME").upper() or file.find("STAT") is not None


def _sami(file: FitsFile) -> Layout | None:
    """Find a cube of SAMI, data release 3 (Croom et al. 2021, MNRAS 505, 991)."""
    spectra = _primary(file)
    if spectra is None or "SAMI" not in text(file.primary, "INSTRUME").upper():
        return None
    bins = file.find("BIN_MASK", ndim=2)
    note = "BIN_MASK numbers bins: all spaxels of one hold the same spectrum"
    return Layout(
        title="SAMI",
        cards=_cards(file, spectra),
        spectra=spectra,
        noise=file.find("VARIANCE"),
        notes=(note,) if bins is not None else (),
    )


def _orb(file: FitsFile) -> Layout | None:
    """Find spectra of SITELLE that ORB or LUCI exported: the primary image alone, in cm-1."""
    spectra = _primary(file)
    if spectra is None:
        return None
    cards = _cards(file, spectra)
    luci = text(cards, "CTYPE3").upper().startswith("FREQ")
    orb = text(cards, "WAVTYPE").upper() == "WAVENUMBER" or "ZPDINDEX" in cards
    if not (luci or orb):
        return None
    return Layout(title="ORB export" if orb else "LUCI export", cards=cards, spectra=spectra)


def _primary(file: FitsFile) -> FitsImage | None:
    """Give the cube in the primary HDU."""
    first = file.images[0] if file.images else None
    return first if first is not None and first.index == 0 and len(first.shape) == 3 else None


def _generic(file: FitsFile) -> Layout:
    """Take any other cube: images by the names that pipelines give them."""
    spectra = _spectra(file)
    noise = file.find(*_NOISE, ndim=3)
    kind = _NOISE[noise.name] if noise is not None else "variance"
    if noise is not None:
        kind = _ESO_KINDS.get(text(noise.cards, "HDUCLAS3").upper(), kind)
    cards = _cards(file, spectra)
    notes = []
    pointed = text(cards, "ERRDATA").upper()
    if pointed and noise is None:
        notes.append(f"the header names {pointed} as its variance, but the file has none")
    mask = file.find(*_MASKS, ndim=3) or file.find(*_MASKS, ndim=2)
    return Layout(
        title="FITS cube",
        cards=cards,
        spectra=spectra,
        noise=noise if noise is not spectra else None,
        noise_kind=kind,
        mask=mask,
        table=file.find("WAVE", "WAVELENGTH", "LAMBDA", ndim=1),
        notes=tuple(notes),
    )


def _spectra(file: FitsFile) -> FitsImage:
    """Pick the image that holds the spectra."""
    cubes = [image for image in file.images if len(image.shape) == 3]
    other = (*_NOISE, *_MASKS)
    for name in _SPECTRA:
        for image in cubes:
            if image.name == name:
                return image
    for image in cubes:
        if image.name not in other:
            return image
    if any(cards.get("ZIMAGE") is True for cards in file.headers):
        raise InputError(f"{file.name}: the images are tile-compressed; unpack them with funpack")
    shapes = ", ".join(
        f"{image.name or image.index} {' x '.join(map(str, image.shape[::-1]))}"
        for image in file.images
    )
    raise InputError(
        f"{file.name}: not a cube, no image has 3 axes (found {shapes or 'no image'}); "
        "give a cube with x, y and wavelength"
    )


def _cards(file: FitsFile, image: FitsImage) -> Cards:
    """Cards of an image with those of the primary HDU behind them; a WCS is never mixed."""
    behind = file.primary
    if "CRVAL3" in image.cards or "CTYPE3" in image.cards:
        behind = {name: value for name, value in behind.items() if not _WCS.fullmatch(name)}
    return {**behind, **image.cards}


def _checked(layout: Layout) -> Layout:
    """Refuse companions whose shape is another than that of the spectra."""
    spectra = layout.spectra
    for image in (layout.noise, layout.mask):
        if image is None:
            continue
        plane = image.shape == spectra.shape[1:] and image is layout.mask
        if image.shape != spectra.shape and not plane:
            raise InputError(
                f"{spectra} has {_size(spectra)} pixels but {image} has {_size(image)}; "
                "write both with the same shape"
            )
    lsf = layout.lsf
    if lsf is not None and lsf.shape not in (spectra.shape, spectra.shape[:1]):
        raise InputError(
            f"{spectra} has {_size(spectra)} pixels but {lsf} has {_size(lsf)}; "
            "give a width for each channel"
        )
    if min(spectra.shape[1:]) < 1 or spectra.shape[0] < 2:
        raise InputError(
            f"{spectra}: {spectra.shape[0]} channel is no spectrum; give a cube with more"
        )
    return layout


def _size(image: FitsImage) -> str:
    """Write a shape as FITS counts its axes."""
    return " x ".join(str(length) for length in image.shape[::-1])
