"""Celestial WCS cards: find them among the metadata of a cube, follow them through binning.

Only the cards of FITS axes 1 and 2 pass; the spectral axis is described by records.
SIP terms: Shupe et al. 2005, ASP Conf. Ser. 347, 491.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

Cards = dict[str, str | float | int]

_CELESTIAL = re.compile(
    r"CTYPE[12]|CRVAL[12]|CRPIX[12]|CDELT[12]|CUNIT[12]|CROTA[12]"
    r"|(PC|CD)[12]_[12]|PV[12]_\d+|LONPOLE|LATPOLE|RADESYS|EQUINOX"
    r"|(A|B|AP|BP)_(ORDER|DMAX|\d_\d)"
)
_SIP_TERM = re.compile(r"(?:A|B|AP|BP)_(\d)_(\d)")


def celestial_cards(metadata: Mapping[str, Any]) -> Cards:
    """Pick the cards of the celestial WCS.

    Parameters
    ----------
    metadata : mapping
        Attributes of an HDF5 file or cards of a FITS header.

    Returns
    -------
    dict
        Python numbers and strings; empty where CTYPE1 and CTYPE2 do not name a projection of
        the sky.
    """
    sky = [str(metadata.get(name, "")) for name in ("CTYPE1", "CTYPE2")]
    if not all("-" in kind for kind in sky):
        return {}
    cards: Cards = {}
    for name, value in metadata.items():
        if not _CELESTIAL.fullmatch(name):
            continue
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str):
            cards[name] = value
        elif np.ndim(value) == 0 and np.isfinite(value):
            cards[name] = int(value) if isinstance(value, int | np.integer) else float(value)
    return cards


def binned_cards(cards: Cards, side: int) -> Cards:
    """Give the cards of a map whose pixels are bins of `side` x `side`, counted from pixel 0.

    Parameters
    ----------
    cards : dict
        Celestial cards of the cube.
    side : int
        Pixels along a side of a bin.

    Returns
    -------
    dict
        With p' = (p - 1/2) / side + 1/2 for pixel coordinates counted from 1. A SIP term of
        degree (p, q) scales with side^(p + q - 1).
    """
    if side == 1 or not cards:
        return dict(cards)
    scaled = dict(cards)
    for axis in "12":
        scaled[f"CRPIX{axis}"] = (float(cards.get(f"CRPIX{axis}", 0.0)) - 0.5) / side + 0.5
    matrix = [name for name in cards if re.fullmatch(r"CD[12]_[12]", name)]
    for name in matrix or ["CDELT1", "CDELT2"]:
        scaled[name] = float(cards.get(name, 1.0)) * side
    for name, value in cards.items():
        if term := _SIP_TERM.fullmatch(name):
            scaled[name] = float(value) * float(side) ** (int(term[1]) + int(term[2]) - 1)
    return scaled
