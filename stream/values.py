"""Parsers of the values options take; each reads text and TOML values alike.

A parser raises ValueError with the rest of a sentence that begins with the value it was given, the
cure included: "is not a number".
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..io.records import Area
from ..kernels.lines import RATIOS

SOURCE_MODELS = ("apec1", "apec2", "powerlaw", "apec1+powerlaw")
"""Keys of `kernels.xray_model.MODELS`, which is not loaded for the help alone."""

MOST_COMPONENTS = 4
"""Kinematic components that one line can be fitted with."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def _numbers(value: Any, count: int, example: str) -> tuple[float, ...]:
    """Read `count` finite numbers from "a,b" or a list."""
    parts = value.split(",") if isinstance(value, str) else value
    try:
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        found = ()
    if len(found) != count or not all(math.isfinite(number) for number in found):
        raise ValueError(f"is not {count} numbers; give for example {example}")
    return found


def interval(example: str, *, floor: float = -math.inf) -> Callable[[Any], tuple[float, float]]:
    """Make a parser of LO,HI with floor <= LO < HI."""

    def parse(value: Any) -> tuple[float, float]:
        low, high = _numbers(value, 2, example)
        if not floor <= low < high:
            least = "" if math.isinf(floor) else f" and LO at least {floor:g}"
            raise ValueError(f"is not LO,HI with LO below HI{least}; give for example {example}")
        return low, high

    return parse


def whole(least: int) -> Callable[[Any], int]:
    """Make a parser of whole numbers."""

    def parse(value: Any) -> int:
        try:
            number = int(value) if isinstance(value, int | str) else None
        except ValueError:
            number = None
        if number is None or isinstance(value, bool) or number < least:
            raise ValueError(f"is not a whole number of at least {least}")
        return number

    return parse


def components(value: Any) -> int | str:
    """Read a number of kinematic components, or "auto"."""
    if value == "auto":
        return "auto"
    try:
        number = whole(1)(value)
    except ValueError:
        number = 0
    if not 1 <= number <= MOST_COMPONENTS:
        raise ValueError(f"is neither a number from 1 to {MOST_COMPONENTS} nor auto")
    return number


def real(value: Any) -> float:
    """Read a finite number."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("is not a number")
    return number


def redshift(value: Any) -> float:
    """Read a redshift."""
    number = real(value)
    if number <= -1:
        raise ValueError("is not a redshift above -1")
    return number


def resolution(value: Any) -> float | str:
    """Read a resolving power or "none"."""
    if value == "none":
        return "none"
    try:
        number = real(value)
    except ValueError:
        number = 0.0
    if number <= 0:
        raise ValueError("is neither a resolving power above 0 nor none; give for example 3000")
    return number


def word(*words: str) -> Callable[[Any], str]:
    """Make a parser of one of some words."""

    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return str(value)

    return parse


def switch(value: Any) -> bool:
    """Read true or false."""
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower())
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def above_zero(value: Any) -> float:
    """Read a number above zero."""
    number = real(value)
    if number <= 0:
        raise ValueError("is not a number above 0")
    return number


def device(value: Any) -> str:
    """Check the spelling of a device; whether it is there is for `models` to find out."""
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+(,\d+)*)?", value):
        raise ValueError("is not a device; give auto, cpu, cuda or cuda:0,1")
    return value


def parse_bytes(value: Any) -> int:
    """Read an amount of memory: "2GiB", "1500MB" or bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", str(value).lower())
    scale = {**_UNITS, **_BINARY}.get(found[2]) if found else None
    if found is None or scale is None or float(found[1]) == 0:
        raise ValueError("is not an amount of memory; give for example 2GiB")
    return int(float(found[1]) * scale)


def format_bytes(amount: float) -> str:
    """Write an amount of memory exactly if it is a whole number of MiB, else to three digits."""
    mebi = amount / 2**20
    if mebi and mebi % 1024 == 0:
        return f"{mebi / 1024:.0f}GiB"
    return f"{mebi:.0f}MiB" if mebi >= 1 else f"{amount:.0f}B"


def names(value: Any) -> tuple[str, ...]:
    """Read line names from "A,B" or a list."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("is not a list of line names; give for example Halpha,NII6583")
    names = tuple(part.strip() for part in parts if part.strip())
    if not names:
        raise ValueError("names no line; give for example Halpha,NII6583")
    if len(set(names)) != len(names):
        raise ValueError("names a line twice; name each once")
    return names


def groups(value: Any) -> tuple[tuple[str, ...], ...]:
    """Read kinematic groups: a list of lists of line names."""
    if isinstance(value, str):
        value = [part for part in value.split(";") if part.strip()]
    try:
        found = tuple(names(group) for group in value)
    except (TypeError, ValueError):
        found = ()
    flat = [name for group in found for name in group]
    if not found or len(set(flat)) != len(flat):
        raise ValueError(
            "is not a list of groups that each line is in once; "
            'give for example [["Halpha", "NII6583"], ["SII6716", "SII6731"]]'
        )
    return found


def ratios(value: Any) -> tuple[tuple[str, str, float], ...]:
    """Read the table of fixed ratios over the defaults; "free" frees one, or all."""
    if value == "free":
        return ()
    if not isinstance(value, Mapping):
        raise ValueError('is not a table such as "NII6583/NII6548" = 3.071, nor "free"')
    fixed = dict(RATIOS)
    for pair, ratio in value.items():
        above, slash, below = (part.strip() for part in pair.partition("/"))
        if not (above and slash and below):
            raise ValueError(f"has {pair!r}, which is not LINE/LINE such as NII6583/NII6548")
        inverse = fixed.pop((below, above), None)
        fixed.pop((above, below), None)
        if ratio == "free":
            continue
        try:
            number = real(ratio)
        except ValueError:
            number = 0.0
        if number <= 0:
            raise ValueError(
                f'has {pair} = {ratio!r}, neither a ratio above 0 nor "free"'
                + (f"; by default it is {1 / inverse:.4g}" if inverse else "")
            )
        fixed[above, below] = number
    return tuple((above, below, number) for (above, below), number in fixed.items())


def write_ratios(value: tuple[tuple[str, str, float], ...]) -> dict[str, float | str]:
    """Write ratios so that `ratios` gives them back whatever the defaults."""
    freed = {f"{above}/{below}": "free" for above, below in RATIOS}
    return {**freed, **{f"{above}/{below}": number for above, below, number in value}}


def region(value: Any) -> Area:
    """Read X0:X1,Y0:Y1."""
    found = re.fullmatch(r"\s*(\d+):(\d+)\s*,\s*(\d+):(\d+)\s*", str(value))
    if found is None:
        raise ValueError("is not X0:X1,Y0:Y1 (0-based, ends excluded); give for example 10:20,0:64")
    try:
        return Area(*(int(part) for part in found.groups()))
    except ValueError:
        raise ValueError("holds no spaxel: each end must be above its start") from None


def stack_by(value: Any) -> str:
    """Read obs, group (OBJECT means the same), or the path of a table."""
    words = {"obs": "obs", "group": "group", "OBJECT": "group"}
    return words[value] if value in words else path(value)


def path_or(known: str) -> Callable[[Any], str]:
    """Make a parser of a path, as `path` reads it, or one word."""

    def parse(value: Any) -> str:
        return known if value == known else path(value)

    return parse


def path(value: Any) -> str:
    """Read a path and make it absolute, so that a resume from elsewhere finds it."""
    if not isinstance(value, str) or not value:
        raise ValueError("is not a path")
    return str(Path(value).expanduser().absolute())
