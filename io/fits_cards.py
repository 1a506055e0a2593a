"""Values of FITS cards, checked: what is there must be what it should be."""

from typing import Any

import numpy as np

from .errors import InputError

Cards = dict[str, Any]


def number(cards: Cards, *names: str, where: str) -> float | None:
    """Give the first card of `names` that is there, as a number; None where there is none.

    Raises
    ------
    InputError
        If it is there and not a finite number.
    """
    for name in names:
        value = cards.get(name)
        if value is None:
            continue
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = float("nan")
        if not np.isfinite(found):
            raise InputError(f"{where}: {name} is {value!r}, not a number; write its value")
        return found
    return None


def text(cards: Cards, *names: str) -> str:
    """Give the first card of `names` that is not empty, as text; "" where there is none."""
    for name in names:
        if found := str(cards.get(name) or "").strip():
            return found
    return ""
