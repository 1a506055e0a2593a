"""BUNIT as cubes write it, turned into one spelling that `astropy.units` reads.

Pipelines write the same unit as ``10**(-20)*erg/s/cm**2/Angstrom``, ``1E-17 erg/s/cm^2/Ang/spaxel``
or ``erg/cm2/s/A/arcsec2``, where A is an angstrom and not an ampere. The power of ten stays in the
unit: ``1e-20 erg / (Angstrom s cm2)``.
"""

import re
import warnings

from astropy import units

_NUMBER = r"[-+]?\d+"
_SCALE = re.compile(
    rf"^\s*\(?\s*(?:10\s*(?:\*\*|\^)\s*\(?\s*(?P<power>{_NUMBER})\s*\)?"
    rf"|(?P<number>\d+(?:\.\d*)?(?:[eE]{_NUMBER})?))\s*\)?\s*(?:\*(?!\*)|\s|$|(?=[A-Za-z]))"
)
_FACTOR = re.compile(r"([A-Za-z]+)\s*(?:(?:\*\*|\^)?\s*\(?\s*([-+]?\d+)\s*\)?)?")
_SPELLINGS = {
    "a": "Angstrom",
    "aa": "Angstrom",
    "ang": "Angstrom",
    "angstrom": "Angstrom",
    "angstroms": "Angstrom",
    "erg": "erg",
    "ergs": "erg",
    "cm": "cm",
    "sec": "s",
    "second": "s",
    "spaxel": "pix",
    "spaxels": "pix",
    "pixel": "pix",
    "fiber": "pix",
    "counts": "ct",
    "count": "ct",
    "electrons": "electron",
    "microns": "um",
    "micron": "um",
    "jy": "Jy",
    "mjy": "MJy",
    "w": "W",
}
_FLAM = "erg / (Angstrom s cm2)"  # STScI's name; KCWI writes FLAM16 for 1e-16 of it


def parse_unit(text: str) -> units.UnitBase | None:
    """Read a unit in any of the spellings of cubes; None if it is none.

    Parameters
    ----------
    text : str
        A value of BUNIT.

    Returns
    -------
    astropy.units.UnitBase or None
        Scale included.
    """
    text = text.strip()
    if named := re.fullmatch(r"FLAM(\d*)", text, re.IGNORECASE):
        return units.Unit(10.0 ** -int(named[1] or 0) * units.Unit(_FLAM))
    scale = 1.0
    if found := _SCALE.match(text):
        scale = 10.0 ** int(found["power"]) if found["power"] else float(found["number"])
        text = text[found.end() :]
    factors = _factors(text)
    if factors is None or scale <= 0:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", units.UnitsWarning)
            unit = units.dimensionless_unscaled
            for name, power in factors:
                unit = unit * units.Unit(name) ** power
    except ValueError:
        return None
    return units.CompositeUnit(scale * unit.scale, unit.bases, unit.powers)


def normal_unit(text: str) -> str:
    """Spell a unit as all of our tables do, or leave it as it is where it cannot be read.

    Parameters
    ----------
    text : str
        A value of BUNIT.

    Returns
    -------
    str
        Such as ``1e-20 erg / (Angstrom s cm2)``; "" for none.
    """
    unit = parse_unit(text)
    if unit is None or not unit.bases:
        return text.strip()
    scale, bare = unit.scale, units.CompositeUnit(1.0, unit.bases, unit.powers)
    spelt = bare.to_string("generic")
    return spelt if scale == 1.0 else f"{scale:.10g} {spelt}"


def _factors(text: str) -> list[tuple[str, int]] | None:
    """Cut a product of powers into (unit, power); None where something else is between them.

    After a slash one factor, or one bracket, stands in the denominator; powers may stand behind
    the unit bare.
    """
    factors: list[tuple[str, int]] = []
    sign, closing = 1, -1
    position = 0
    while position < len(text):
        mark = text[position]
        if mark == "/":
            sign, position = -1, position + 1
        elif mark == "(" and closing < 0:
            closing, position = text.find(")", position), position + 1
        elif mark == ")" and position == closing:
            sign, closing, position = 1, -1, position + 1
        elif mark in " *.":
            position += 1
        elif found := _FACTOR.match(text, position):
            name = _SPELLINGS.get(found[1].lower() if len(found[1]) > 1 else found[1], found[1])
            name = "Angstrom" if name == "A" else name
            factors.append((name, sign * int(found[2] or 1)))
            position = found.end()
            sign = sign if closing >= 0 else 1
        else:
            return None
    return factors
