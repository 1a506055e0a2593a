"""The keywords that link a spectrum to its response and background.

BACKFILE, RESPFILE and ANCRFILE hold what the machine that wrote the file called the others: a name
beside it, a path that exists nowhere else, a name with or without ``.gz``, or a word for nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

_NOTHING = {"", "NONE", "NULL", "N/A", "UNKNOWN"}
# What CFITSIO and XSPEC let follow a name: [extension] and {row}.
_SUFFIX = re.compile(r"(\[[^\]]*\]|\{(?P<row>\d+)\})+$")


@dataclass(frozen=True, slots=True)
class Links:
    """Files given by the user in place of what the header names.

    Parameters
    ----------
    rmf, arf, background : str or None
        A path, from the working folder; "none" for none; None to follow the header.
    """

    rmf: str | None = None
    arf: str | None = None
    background: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads.

    Parameters
    ----------
    text : str
        As given; "" where nothing is.
    path : Path or None
        The file; None where nothing is given or nothing is found.
    row : int or None
        0-based row of a file with several spectra, where the link names one.
    """

    text: str
    path: Path | None = None
    row: int | None = None

    @property
    def given(self) -> bool:
        """Whether a file is named at all."""
        return bool(self.text)


def follow(text: object, folder: Path) -> Link:
    """Follow the value of a keyword.

    Parameters
    ----------
    text : object
        The value; None where the keyword is absent.
    folder : Path
        Of the spectrum.

    Returns
    -------
    Link
    """
    named = "" if text is None else str(text).strip()
    bare = _SUFFIX.sub("", named).strip()
    if bare.upper() in _NOTHING:
        return Link("")
    row = match["row"] if (match := _SUFFIX.search(named)) else None
    base = re.split(r"[/\\]", bare)[-1]
    path = _find(folder / bare) or _find(folder / base)
    return Link(named, path, None if row is None else int(row) - 1)


def override(text: str, option: str) -> Link:
    """Follow a path given by the user.

    Parameters
    ----------
    text : str
        Path from the working folder, or "none".
    option : str
        How the user gave it, for the message.

    Returns
    -------
    Link

    Raises
    ------
    InputError
        If a file is named that is not there.
    """
    if text.strip().upper() in _NOTHING:
        return Link("")
    path = _find(Path(text))
    if path is None:
        raise InputError(f"{option} {text}: no such file; give the path of one, or none")
    return Link(text, path)


def _find(path: Path) -> Path | None:
    """Give a file as named, or with .gz added or taken away."""
    plain = path.with_name(path.name.removesuffix(".gz"))
    for candidate in (path, plain, plain.with_name(plain.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None
