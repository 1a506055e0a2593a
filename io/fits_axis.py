"""The spectral axis of a FITS cube, from the cards of its third axis.

The coordinate of channel p, counted from 1, is w = CRVAL3 + step (p - CRPIX3), the step being
CD3_3, PC3_3 CDELT3 or CDELT3; on a -LOG axis it is CRVAL3 exp(step (p - CRPIX3) / CRVAL3)
(Greisen et al. 2006, A&A 446, 747, equation 5), and 10^w or e^w where CRVAL3 is itself a logarithm.
AWAV is an air wavelength and WAVE a vacuum one (their table 1). Where a header is silent, the
assumption becomes a note. The axis of an interferometer is left to `fits_fts`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .fits_cards import Cards, number, text
from .fits_fts import fts_axis
from .records import AxisKind, FtsAxis, SampledAxis

# To angstrom, or to cm-1 for the units of wavenumber.
_LENGTHS = {"angstrom": 1.0, "a": 1.0, "0.1nm": 1.0, "nm": 10.0, "um": 1e4, "m": 1e10}
_WAVENUMBERS = {"cm-1": 1.0, "1/cm": 1.0, "cm^-1": 1.0, "cm**-1": 1.0, "m-1": 0.01, "1/m": 0.01}
_SPELLINGS = {
    "angstroms": "angstrom",
    "ang": "angstrom",
    "aa": "angstrom",
    "micron": "um",
    "microns": "um",
    "micrometer": "um",
    "meter": "m",
    "nanometer": "nm",
    "cm^(-1)": "cm-1",
    "cm**(-1)": "cm-1",
}
# Where the first wavelength lies tells the unit that a header forgot.
_BY_SIZE = ((1e3, 1e5, "angstrom"), (100.0, 1e3, "nm"), (0.1, 30.0, "um"), (1e-7, 3e-5, "m"))
_OPTICAL_CM1 = (1e3, 1e5)  # 1000 angstrom to 10 micron
_OPTICAL_ANGSTROM = (900.0, 3e5)  # Lyman limit to 30 micron


@dataclass(frozen=True, slots=True)
class AxisFound:
    """The axis, how the stored channels map to it, and what was assumed.

    Parameters
    ----------
    axis : SampledAxis or FtsAxis
        Increasing.
    flip : bool
        True where the stored channels run the other way.
    notes : tuple of str
        A line for each assumption.
    """

    axis: SampledAxis | FtsAxis
    flip: bool
    notes: tuple[str, ...]


def spectral_axis(
    cards: Cards, channels: int, *, where: str, table: NDArray[np.floating] | None = None
) -> AxisFound:
    """Find the axis of a cube.

    Parameters
    ----------
    cards : dict
        Of the cube's HDU, those of the primary HDU behind them.
    channels : int
        Channels of the cube.
    where : str
        The image, as errors name it.
    table : ndarray, shape (channel,), or None
        Wavelengths given one by one, as MaNGA's WAVE does; they stand before the cards.

    Returns
    -------
    AxisFound

    Raises
    ------
    InputError
        If cards are missing or not numbers, the step is zero, the unit is not known, or the
        axis leaves the optical.
    """
    notes: list[str] = []
    ctype = text(cards, "CTYPE3").upper()
    if table is not None:
        stored = _table(table, channels, where)
        values, first = stored, float(stored[0])
    else:
        values = _from_cards(cards, channels, ctype, where, notes)
        first = float(values[0])
    unit = _unit(cards, ctype, first, where, notes)
    if unit in _WAVENUMBERS:
        kind: AxisKind = "wavenumber"
        values = values * _WAVENUMBERS[unit]
    else:
        kind = _medium(cards, ctype, notes)
        values = values * _LENGTHS[unit]
    _check_range(values, kind, unit, where)
    flip = bool(values[0] > values[-1])
    values = values[::-1] if flip else values
    if not np.all(np.diff(values) > 0):
        raise InputError(
            f"{where}: the axis does not run one way, from {values[0]:.6g} to {values[-1]:.6g} "
            f"in {channels} channels; mend its wavelengths"
        )
    axis = fts_axis(cards, values, notes, where=where) if kind == "wavenumber" else None
    return AxisFound(axis or SampledAxis(values, kind), flip, tuple(notes))


def _table(table: NDArray[np.floating], channels: int, where: str) -> NDArray[np.float64]:
    """Check wavelengths given one by one."""
    if table.shape != (channels,):
        raise InputError(
            f"{where}: the cube has {channels} channels but its table of wavelengths has "
            f"{table.size}; write the file again"
        )
    if not np.all(np.isfinite(table)):
        bad = int(np.count_nonzero(~np.isfinite(table)))
        raise InputError(
            f"{where}: {bad} of {channels} tabulated wavelengths are not finite; mend the table"
        )
    return table.astype(np.float64)


def _from_cards(
    cards: Cards, channels: int, ctype: str, where: str, notes: list[str]
) -> NDArray[np.float64]:
    """Compute the coordinates in the header's own unit."""
    for name in ("CTYPE1", "CTYPE2"):
        if text(cards, name).upper().startswith(("AWAV", "WAVE", "WAVN", "LAMBDA")):
            raise InputError(
                f"{where}: {name} is {cards[name]!r}, the spectral axis must be the third; "
                "transpose the cube"
            )
    if ctype.endswith("-TAB"):
        raise InputError(f"{where}: CTYPE3 is {ctype!r}, a lookup table; resample to a linear axis")
    reference = number(cards, "CRVAL3", where=where)
    step = _step(cards, where)
    if reference is None or step is None:
        lacking = "CRVAL3" if reference is None else "CD3_3 or CDELT3"
        raise InputError(f"{where}: {lacking} is missing, no wavelength of a channel; write it")
    if step == 0:
        raise InputError(f"{where}: the step of axis 3 is 0 from CRVAL3 {reference}; write CDELT3")
    pixel = number(cards, "CRPIX3", where=where)
    if pixel is None:
        notes.append("CRPIX3 is missing: CRVAL3 taken at the first channel")
        pixel = 1.0
    away: NDArray[np.float64] = step * (np.arange(1.0, channels + 1.0) - pixel)
    if "LOG" not in ctype and cards.get("DC-FLAG") != 1:
        return reference + away
    if 2.0 < reference < 5.5:  # log10 of 100 to 300000 angstrom
        notes.append("axis 3 read as log10 of the wavelength")
        return np.power(10.0, reference + away)
    if 6.5 < reference < 12.5:  # ln of 700 to 270000 angstrom
        notes.append("axis 3 read as ln of the wavelength")
        return np.exp(reference + away)
    return reference * np.exp(away / reference)


def _step(cards: Cards, where: str) -> float | None:
    """Give the step of axis 3 in the header's own unit."""
    direct = number(cards, "CD3_3", where=where)
    if direct is not None:
        return direct
    step = number(cards, "CDELT3", where=where)
    scale = number(cards, "PC3_3", where=where)
    return step if step is None or scale is None else step * scale


def _unit(cards: Cards, ctype: str, first: float, where: str, notes: list[str]) -> str:
    """Name the unit of the coordinates, from CUNIT3, CTYPE3 or their size."""
    written = text(cards, "CUNIT3")
    name = written.lower().replace(" ", "")
    name = _SPELLINGS.get(name, name)
    low, high = _OPTICAL_CM1
    if ctype.startswith("FREQ"):
        if name not in _WAVENUMBERS and not low < first < high:
            raise InputError(
                f"{where}: axis 3 is a frequency from {first:.6g} {written or 'Hz'}; "
                "give a cube in wavelength or wavenumber"
            )
        notes.append("CTYPE3 'FREQ' read as wavenumber in cm-1, as LUCI writes it")
        return "cm-1"
    if ctype.startswith(("VELO", "VOPT", "VRAD", "ZOPT", "STOKES")):
        raise InputError(
            f"{where}: CTYPE3 is {ctype!r}; give a cube whose third axis is wavelength "
            "or wavenumber"
        )
    if name in _LENGTHS or name in _WAVENUMBERS:
        return name
    if written:
        raise InputError(
            f"{where}: CUNIT3 is {written!r}; write Angstrom, nm, um, m or cm-1 into the header"
        )
    if ctype.startswith("WAVN"):
        notes.append("CUNIT3 is missing: wavenumber taken in cm-1")
        return "cm-1"
    for least, most, unit in _BY_SIZE:
        if least <= abs(first) < most:
            notes.append(f"CUNIT3 is missing: {unit} assumed from the first value {first:.6g}")
            return unit
    raise InputError(
        f"{where}: CUNIT3 is missing and {first:.6g} is no optical wavelength in any unit; "
        "write CUNIT3"
    )


def _medium(cards: Cards, ctype: str, notes: list[str]) -> AxisKind:
    """Tell air from vacuum."""
    said = text(cards, "AIRORVAC").lower()
    if said.startswith(("air", "vac")):
        return "air" if said.startswith("air") else "vacuum"
    if isinstance(cards.get("VACUUM"), bool):
        return "vacuum" if cards["VACUUM"] else "air"
    if ctype.startswith("AWAV"):
        return "air"
    if ctype in ("WAVE", "WAVE-LOG"):
        return "vacuum"
    notes.append(f"CTYPE3 is {ctype!r}, neither AWAV nor WAVE: wavelengths taken in air")
    return "air"


def _check_range(values: NDArray[np.float64], kind: str, unit: str, where: str) -> None:
    """Refuse an axis outside the optical: a wrong unit or a wrong reference pixel."""
    low, high = _OPTICAL_CM1 if kind == "wavenumber" else _OPTICAL_ANGSTROM
    house = "cm-1" if kind == "wavenumber" else "angstrom"
    least, most = float(np.min(values)), float(np.max(values))
    if not (low <= least and most <= high):
        raise InputError(
            f"{where}: axis 3 runs from {least:.6g} to {most:.6g} {house} (unit {unit}), outside "
            f"{low:.6g} to {high:.6g}; mend CRVAL3, CDELT3, CRPIX3 or CUNIT3"
        )
