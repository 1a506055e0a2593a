"""The background of a spectrum: found by its link, brought on its channels, scaled to it.

The scale is (EXPOSURE BACKSCAL AREASCAL) of the source over that of the background, channel by
channel. A background that is not there is told and done without, as XSPEC does.
"""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .observations import Background, Response
from .ogip_channels import place, spread
from .ogip_links import Link, follow
from .ogip_pha import Spectrum, read_spectra

Ints = NDArray[np.int64]


def find_background(
    source: Spectrum, link: Link, response: Response, index: Ints, notes: list[str]
) -> Background | None:
    """Find and scale the background of a spectrum.

    Parameters
    ----------
    source : Spectrum
    link : Link
        Where BACKFILE, or the user, leads; in a file of type II to the row of the source.
    response : Response
        Of the source.
    index : ndarray of int
        Place of the source's channels, from `ogip_channels.place`.
    notes : list of str
        Told here where there is none.

    Returns
    -------
    Background or None
        Counts and scale are NaN where the background has no good channel.

    Raises
    ------
    InputError
        If there is one that is malformed or cannot be scaled.
    """
    itself = link.path is not None and link.path.samefile(source.path) and link.row is None
    if (not link.given or itself) and source.beside is not None:
        return _scaled(source, source.beside, index, index, response.channels)
    if not link.given:
        notes.append("no background is named: all counts are taken as the source's")
        return None
    if link.path is None:
        notes.append(f"BACKFILE {link.text} is not there: all counts are taken as the source's")
        return None
    if itself:
        notes.append("BACKFILE names the spectrum itself: no background is taken")
        return None
    beside = _read(source, link.path, link.row)
    if not beside.whole:
        notes.append(f"{beside.name}: counts are not whole: taken as expected, without scatter")
    where = place(beside, response, notes)
    return _scaled(source, beside, index, where, response.channels)


def without_gaps(background: Background, usable: NDArray[np.bool_]) -> Background:
    """Put zeros in place of the channels a background does not have."""
    return dataclasses.replace(
        background,
        counts=np.where(usable, background.counts, 0.0),
        scale=np.where(usable, background.scale, 0.0),
    )


def _read(source: Spectrum, path: Path, named: int | None) -> Spectrum:
    """Read the background's spectrum: the row named, or that of the source where there are more."""
    spectra = read_spectra(path)
    wanted = named if named is not None else (source.row if len(spectra) > 1 else 0)
    if not 0 <= wanted < len(spectra):
        raise InputError(
            f"{source.name}: its background {path.name} has {len(spectra)} rows, none for "
            f"row {wanted + 1}; give one with a row for each"
        )
    beside = spectra[wanted]
    if isinstance(beside, InputError):
        raise beside
    if beside.net:
        raise InputError(f"{beside.name}: HDUCLAS2 is NET, no background; give the counts beside")
    return beside


def _scaled(
    source: Spectrum, beside: Spectrum, index: Ints, where: Ints, channels: int
) -> Background:
    """Bring a background onto the channels of the response, with its scale."""
    weights = (
        spread(one.exposure * one.back_scale * one.area_scale, place, channels, fill=np.nan)
        for one, place in ((source, index), (beside, where))
    )
    ours, theirs = weights
    known = np.isfinite(ours) & np.isfinite(theirs)
    positive = known & (ours > 0) & (theirs > 0)
    if known.any() and not positive.any():
        raise InputError(
            f"{source.name}: BACKSCAL is {source.back_scale[0]:g}, that of {beside.name} "
            f"{beside.back_scale[0]:g}; both must be positive"
        )
    scale = np.full(channels, np.nan)
    scale[positive] = ours[positive] / theirs[positive]
    folder = beside.path.parent
    rmf, arf = (follow(beside.links.get(key), folder).path for key in ("RESPFILE", "ANCRFILE"))
    return Background(
        name=beside.name,
        counts=spread(np.where(beside.bad, np.nan, beside.counts), where, channels, fill=np.nan),
        scale=scale,
        exposure=beside.exposure,
        poisson=beside.whole,
        rmf="" if rmf is None else str(rmf),
        arf="" if arf is None else str(arf),
    )
