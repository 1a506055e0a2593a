"""How quantities, lines, units and numbers are written for people: in pictures and in text."""

import math
import re
import warnings
from functools import lru_cache

import numpy as np
from astropy import units
from numpy.typing import ArrayLike

_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε"}
_SUPERSCRIPT = str.maketrans("-.0123456789", "⁻·⁰¹²³⁴⁵⁶⁷⁸⁹")
_ION = re.compile(r"([A-Z][a-z]?)([IVX]+)(\d+)")
_BALMER = re.compile(r"H(" + "|".join(_GREEK) + r")")
_PERMITTED = {"H", "He"}
_WORDS = {
    "velocity": "velocity",
    "broadening": "broadening",
    "continuum": "continuum",
    "snr": "signal to noise",
    "chi2": "χ²",
    "dof": "degrees of freedom",
    "noise": "noise per channel",
    "status": "status",
}


def line_label(name: str) -> str:
    """Write a line as astronomers do: Halpha is Hα, NII6583 is [N II] 6583, HeI5876 He I 5876."""
    if balmer := _BALMER.fullmatch(name):
        return f"H{_GREEK[balmer[1]]}"
    if ion := _ION.fullmatch(name):
        element, stage, wavelength = ion.groups()
        species = f"{element} {stage}"
        return f"{species if element in _PERMITTED else f'[{species}]'} {wavelength}"
    return name


def quantity_label(column: str) -> str:
    """Say what a column holds: Halpha_flux is "Hα flux", velocity_g2 "velocity, group 2"."""
    stem, _, tail = column.rpartition("_")
    if stem and (kinematic := re.fullmatch(r"([gc])(\d+)", tail)):
        kind = "group" if kinematic[1] == "g" else "component"
        return f"{quantity_label(stem)}, {kind} {kinematic[2]}"
    if stem and tail in ("flux", "amplitude"):
        return f"{line_label(stem)} {tail}"
    return _WORDS.get(column, column)


@lru_cache(maxsize=256)
def unit_text(unit: str, exponent: int = 0) -> str:
    """Write a unit, times ten to the `exponent`, in one line: "10⁻¹⁶ erg s⁻¹ cm⁻²".

    What astropy cannot read is given back as it is.
    """
    power = f"10{superscript(exponent)} " if exponent else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        try:
            read = units.Unit(unit)
        except (ValueError, TypeError):
            return f"{power}{unit}"
    total = math.log10(abs(read.scale)) + exponent
    if abs(total - round(total)) > 1e-6:
        return f"{power}{read.to_string('unicode')}"
    plain = units.CompositeUnit(1, read.bases, read.powers).to_string("unicode")
    return f"10{superscript(round(total))} {plain}".strip() if round(total) else plain


def superscript(number: float) -> str:
    """Write a number as an exponent."""
    return str(number).translate(_SUPERSCRIPT)


def scale_exponent(values: ArrayLike) -> int:
    """Choose the power of ten to take out of values; 0 where they are easily read as they are."""
    finite = np.abs(np.asarray(values, float))
    finite = finite[np.isfinite(finite) & (finite > 0)]
    largest = float(finite.max()) if finite.size else 1.0
    return 0 if 0.01 <= largest < 1e6 else math.floor(math.log10(largest))


def with_error(value: float, error: float) -> str:
    """Write a value with as many digits as its error has meaning for, "123.4 ± 1.2".

    The error keeps two digits. Without a finite error the value has four; NaN is a dash.
    """
    if not math.isfinite(value):
        return "—"
    known = math.isfinite(error) and error > 0
    exponent = scale_exponent(max(abs(value), error) if known else value)
    power = 10.0**exponent
    if not known:
        return f"{value / power:.4g}" + (f" × 10{superscript(exponent)}" if exponent else "")
    if exponent:
        return f"({with_error(value / power, error / power)}) × 10{superscript(exponent)}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def duration(seconds: float | None) -> str:
    """Write a time span: "4 s", "3 min 20 s", "2 h 05 min"; a dash where it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "—"
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def size(nbytes: float) -> str:
    """Write a number of bytes: "812 MiB", "1.4 GiB"."""
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.0f} MiB"


def counted(number: int) -> str:
    """Write a count in groups of three digits: "1 234 567"."""
    return f"{number:,}".replace(",", " ")


def percent(part: int, whole: int) -> str:
    """Write a share; rounded down, so that only the whole is "100 %"."""
    if part >= whole:
        return "100 %"
    return f"{math.floor(1000 * part / whole) / 10:.1f} %"
