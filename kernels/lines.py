"""Emission lines: rest wavelengths, fixed doublet ratios, and the set a band covers."""

import re
from collections.abc import Iterable, Mapping

# Air wavelengths [nm]: the NIST values that ORB uses.
REST_AIR_NM: Mapping[str, float] = {
    "OII3726": 372.6032,
    "OII3729": 372.8815,
    "NeIII3869": 386.876,
    "Hepsilon": 397.00788,
    "Hdelta": 410.17415,
    "Hgamma": 434.0471,
    "OIII4363": 436.3209,
    "Hbeta": 486.1333,
    "OIII4959": 495.8911,
    "OIII5007": 500.6843,
    "NII5755": 575.459,
    "HeI5876": 587.567,
    "OI6300": 630.0304,
    "SIII6312": 631.206,
    "NII6548": 654.805,
    "Halpha": 656.2819,
    "NII6583": 658.345,
    "HeI6678": 667.81517,
    "SII6716": 671.6440,
    "SII6731": 673.0816,
    "HeI7065": 706.52153,
    "ArIII7136": 713.579,
}

# The lines a fit takes on without being asked: bright in HII regions, nebulae, shocks and AGN.
STRONG = (
    "OII3726",
    "OII3729",
    "Hbeta",
    "OIII4959",
    "OIII5007",
    "NII6548",
    "Halpha",
    "NII6583",
    "SII6716",
    "SII6731",
)

# Flux of the first over the second line (Storey & Zeippen 2000, MNRAS 312, 813).
RATIOS: Mapping[tuple[str, str], float] = {
    ("NII6583", "NII6548"): 3.071,
    ("OIII5007", "OIII4959"): 3.013,
}

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def default_lines(low_nm: float, high_nm: float, *, redshift: float = 0.0) -> tuple[str, ...]:
    """Names of the strong lines that lie in a band, by increasing wavelength.

    Parameters
    ----------
    low_nm, high_nm : float
        Band as observed, air [nm].
    redshift : float
        Of the source.

    Returns
    -------
    tuple of str
        Possibly empty.
    """
    return tuple(name for name in STRONG if low_nm < REST_AIR_NM[name] * (1 + redshift) < high_nm)


def rest_wavelengths(
    names: Iterable[str], custom: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Air wavelengths [nm] of lines by name; `custom` lines stand beside and before ours.

    Raises
    ------
    ValueError
        If a name is unknown, given twice or unfit for a column, or a wavelength is not positive.
    """
    table = {**REST_AIR_NM, **(custom or {})}
    found: dict[str, float] = {}
    for name in names:
        if name not in table:
            raise ValueError(f"line {name} is unknown; known are {', '.join(sorted(table))}")
        if name in found:
            raise ValueError(f"line {name} is given twice; name it once")
        if not _NAME.fullmatch(name):
            raise ValueError(f"line {name!r} cannot name a column; use letters, digits and _")
        if not table[name] > 0:
            raise ValueError(f"line {name} has wavelength {table[name]} nm; give air nm above 0")
        found[name] = table[name]
    return found
