"""What is known of a FITS cube: unit, sky, redshift, and the width of the instrument's line."""

import numpy as np
from numpy.typing import NDArray

from .celestial import Cards as SkyCards
from .celestial import celestial_cards
from .fits_axis import AxisFound
from .fits_cards import Cards, number, text
from .fits_file import FitsFile
from .fits_image import FitsImage
from .fits_layout import Layout
from .fits_planes import BLOCK_PIXELS
from .fits_unit import normal_unit, parse_unit
from .records import Area, CubeHeader, FtsAxis, SampledAxis
from .sitelle_header import FILTER_BANDS_NM

_FWHM = 2.3548200450309493  # full width at half maximum of a Gaussian per standard deviation
_REDSHIFTS = ("Z_SPEC", "ZSPEC", "REDSHIFT")


def cube_header(file: FitsFile, layout: Layout, found: AxisFound, notes: list[str]) -> CubeHeader:
    """Gather what is known of a cube.

    Parameters
    ----------
    file : FitsFile
    layout : Layout
        Its images by their meaning, the noise settled.
    found : AxisFound
        Its spectral axis.
    notes : list of str
        What is already noted of its noise.

    Returns
    -------
    CubeHeader

    Raises
    ------
    InputError
        If a card that matters is not a number.
    """
    cards = layout.cards
    axis, about_lsf = _with_lsf(layout, found)
    unit, about_unit = _unit(layout)
    redshift, about_redshift = _redshift(cards, str(layout.spectra))
    celestial, about_sky = _sky(cards)
    filter_name = text(cards, "FILTER", "FILTNAM")
    band, about_band = _band(axis, filter_name)
    reverse = ["channels are stored by decreasing coordinate and read in reverse"]
    found_notes = [*layout.notes, *found.notes, *(reverse if found.flip else []), *about_lsf]
    found_notes += [*notes, *about_band, *about_unit, *about_redshift, *about_sky]
    return CubeHeader(
        name=file.name,
        layout=_in_words(file, layout),
        shape=(layout.spectra.shape[2], layout.spectra.shape[1]),
        axis=axis,
        unit=unit,
        instrument=text(cards, "INSTRUME"),
        filter_name=filter_name,
        target=text(file.primary, "OBJECT", "NAME", "MANGAID") or text(cards, "OBJECT"),
        band=band,
        redshift=redshift,
        has_variance=layout.noise is not None,
        celestial=celestial,
        notes=tuple(dict.fromkeys(found_notes)),
    )


def _in_words(file: FitsFile, layout: Layout) -> str:
    """Describe the format."""
    images = (layout.noise, layout.mask, layout.table, layout.lsf)
    parts = ", ".join(image.name for image in images if image is not None)
    how = "unpacked and memory-mapped" if file.gzipped else "memory-mapped"
    name = layout.spectra.name or f"HDU {layout.spectra.index}"
    return f"{layout.title}, {name}{f' with {parts}' if parts else ''}, {how}"


def _sky(cards: Cards) -> tuple[SkyCards, list[str]]:
    """Pick the celestial WCS."""
    celestial = celestial_cards(cards)
    if not celestial:
        ctype = text(cards, "CTYPE1")
        return {}, [f"no celestial WCS (CTYPE1 is {ctype!r}): maps are in pixels only"]
    if any(name.startswith("CD") and name[2].isdigit() for name in celestial):
        void = ("CDELT1", "CDELT2", "CROTA1", "CROTA2")  # beside a CD matrix
        celestial = {name: value for name, value in celestial.items() if name not in void}
    return celestial, []


def _band(
    axis: SampledAxis | FtsAxis, filter_name: str
) -> tuple[tuple[float, float] | None, list[str]]:
    """Find where light passes the filter of an interferometer [cm-1]."""
    if isinstance(axis, SampledAxis) and axis.kind != "wavenumber":
        return None, []
    if filter_name not in FILTER_BANDS_NM:
        return None, [f"filter {filter_name!r} is not known: the whole axis is taken as in band"]
    blue, red = FILTER_BANDS_NM[filter_name]
    return (1e7 / red, 1e7 / blue), [f"band of {filter_name} from the table of SITELLE filters"]


def _with_lsf(layout: Layout, found: AxisFound) -> tuple[SampledAxis | FtsAxis, list[str]]:
    """Add the width of the instrument's line to the axis, where the file has it."""
    axis, lsf = found.axis, layout.lsf
    if lsf is None or not isinstance(axis, SampledAxis):
        return axis, []
    notes = []
    if len(lsf.shape) == 3:
        widths = _median_of_planes(lsf)
        notes.append(f"{lsf.name}: the median of all spaxels is taken in each channel")
    else:
        widths = lsf.whole().astype(np.float64)
    widths = widths[::-1] if found.flip else widths
    if layout.lsf_is_resolution:
        with np.errstate(divide="ignore"):
            widths = axis.coordinate / (widths * _FWHM)
    good = np.isfinite(widths) & (widths > 0)
    if not good.any():
        return axis, [f"{lsf.name} has no positive width: not used"]
    if not good.all():
        notes.append(f"{lsf.name}: {np.count_nonzero(~good)} channels without a width interpolated")
        widths = np.interp(axis.coordinate, axis.coordinate[good], widths[good])
    return SampledAxis(axis.coordinate, axis.kind, widths), notes


def _median_of_planes(image: FitsImage) -> NDArray[np.float64]:
    """Median of the positive values of each channel, NaN where there is none."""
    channels, ny, nx = image.shape
    found = np.full(channels, np.nan)
    area = Area(0, nx, 0, ny)
    planes = max(1, BLOCK_PIXELS // (nx * ny))
    for start in range(0, channels, planes):
        block = image.block(start, min(start + planes, channels), area)
        for offset, plane in enumerate(block):
            positive = plane[plane > 0]
            if positive.size:
                found[start + offset] = np.median(positive)
        image.release()
    return found


def _unit(layout: Layout) -> tuple[str, list[str]]:
    """Give the unit of the spectra in our spelling."""
    written = text(layout.cards, "BUNIT")
    if written.upper() == "FLUX" and "ORB" in layout.title:
        return normal_unit("erg/cm2/s/A"), ["BUNIT 'FLUX' of ORB read as erg/cm2/s/A"]
    if not written:
        return "", ["no BUNIT: the unit of the fluxes is not known"]
    if parse_unit(written) is None:
        return normal_unit(written), [f"BUNIT {written!r} is no unit that can be read: kept as is"]
    return normal_unit(written), []


def _redshift(cards: Cards, where: str) -> tuple[float | None, list[str]]:
    """Give the redshift of the target where the file says it."""
    for name in _REDSHIFTS:
        value = number(cards, name, where=where)
        if value is None:
            continue
        if -0.01 < value < 20:
            return value, []
        return None, [f"{name} is {value}: not a redshift, not used"]
    return None, []
