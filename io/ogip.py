"""OGIP observations: a PHA file and all that its header links to, as one record.

Native channels are kept: grouping is told but not applied, channels of bad quality are marked. The
background is scaled per channel by (EXPOSURE BACKSCAL AREASCAL) of the source over that of the
background (XSPEC manual, appendix on the PHA format). A background that cannot be found is told in
the notes; a response that cannot be found is an error, for nothing can be folded without.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import InputError
from .fits_cards import text
from .observations import Observation, RefusedObservation, Response
from .ogip_background import find_background, without_gaps
from .ogip_channels import place, spread
from .ogip_file import OgipFile
from .ogip_links import Link, Links, follow, override
from .ogip_pha import KIND, Spectrum, count_spectra, read_spectra, says
from .ogip_rmf import read_response

__all__ = [
    "Links",
    "claims",
    "count_spectra",
    "files_of",
    "observations",
    "read_observation",
    "read_response",
    "targets_of",
]

_SPECTRA = (".pi", ".pha", ".pha2", ".pi2")
_RESPONSES = (".rmf", ".arf", ".rsp", ".wrmf", ".warf")


def claims(path: Path) -> bool:
    """Whether a file is OGIP by its name, or a FITS file with a SPECTRUM table."""
    name = path.name.lower()
    if name.removesuffix(".gz").endswith(_SPECTRA + _RESPONSES):
        return True
    try:
        with path.open("rb") as stream:
            start = stream.read(80)
        if not start.startswith(b"SIMPLE  ="):  # a gzipped cube is not unpacked to look
            return False
        with OgipFile(path) as file:
            return bool(file.tables(KIND, KIND))
    except (OSError, InputError):
        return False


def observations(
    path: Path, links: Links | None = None
) -> Iterator[Observation | RefusedObservation]:
    """Read every observation of a file; what is wrong with one does not stop the others.

    Parameters
    ----------
    path : Path
        PHA of type I (one observation) or II (one a row), plain or gzipped.
    links : Links
        Files to take in place of those in the header.

    Yields
    ------
    Observation or RefusedObservation
        In the order of the rows.
    """
    try:
        spectra = read_spectra(path)
    except InputError as error:
        yield RefusedObservation(path.name, str(path), str(error))
        return
    for row, spectrum in enumerate(spectra):
        name = path.name if len(spectra) == 1 else f"{path.name}[{row + 1}]"
        try:
            yield _observation(_found(spectrum), links or Links())
        except InputError as error:
            yield RefusedObservation(name, str(path), str(error))


def read_observation(path: Path, row: int = 0, links: Links | None = None) -> Observation:
    """Read one observation.

    Parameters
    ----------
    path : Path
        PHA of type I or II, plain or gzipped.
    row : int
        0-based row of a file of type II.
    links : Links
        Files to take in place of those in the header.

    Returns
    -------
    Observation

    Raises
    ------
    InputError
        If the file or what it needs is missing, malformed, or not Poisson counts.
    """
    spectra = read_spectra(path)
    if not 0 <= row < len(spectra):
        raise InputError(f"{path.name}: no row {row + 1}, it has {len(spectra)}; give one of them")
    return _observation(_found(spectra[row]), links or Links())


def files_of(path: Path, links: Links | None = None) -> list[Path]:
    """Name the files an observation is read from: its own, then those linked that are there.

    Parameters
    ----------
    path : Path
        PHA of type I or II.
    links : Links
        As of `observations`.

    Returns
    -------
    list of Path
        The file alone where it cannot be read.
    """
    found, given = [path], links or Links()
    try:
        spectra = [one for one in read_spectra(path) if isinstance(one, Spectrum)]
        for spectrum in spectra:
            for key, text_given, option in (
                ("RESPFILE", given.rmf, "--rmf"),
                ("ANCRFILE", given.arf, "--arf"),
                ("BACKFILE", given.background, "--background"),
            ):
                link = _link(spectrum, key, text_given, option)
                if link.path is not None and link.path not in found:
                    found.append(link.path)
    except InputError:
        return [path]
    return found


def targets_of(path: Path) -> list[str]:
    """Give OBJECT of each spectrum of a file; "" where it does not say or cannot be read."""
    try:
        spectra = read_spectra(path)
    except InputError:
        return [""]
    return [says(one.cards, "OBJECT") if isinstance(one, Spectrum) else "" for one in spectra]


def _found(spectrum: Spectrum | InputError) -> Spectrum:
    """Give the spectrum, or raise what is wrong with it."""
    if isinstance(spectrum, InputError):
        raise spectrum
    return spectrum


def _observation(spectrum: Spectrum, links: Links) -> Observation:
    """Put response and background to a spectrum."""
    notes = [*spectrum.notes, *_refuse_unusable(spectrum)]
    response = _response(spectrum, links, notes)
    channels = response.channels
    index = place(spectrum, response, notes)
    if absent := channels - index.size:
        notes.append(f"{absent} of {channels} channels are not in the file: left out")
    good = spread(~spectrum.bad, index, channels)
    link = _link(spectrum, "BACKFILE", links.background, "--background")
    source = spectrum if links.background is None else dataclasses.replace(spectrum, beside=None)
    background = find_background(source, link, response, index, notes)
    if background is not None:
        usable = np.isfinite(background.expected)
        if lost := np.count_nonzero(good & ~usable):
            notes.append(f"{lost} channels are left out: they are not good in the background")
        good, background = good & usable, without_gaps(background, usable)
    cards, grouping = spectrum.cards, spectrum.grouping
    return Observation(
        name=spectrum.name,
        path=str(spectrum.path),
        counts=np.where(good, spread(spectrum.counts, index, channels), 0.0),
        good=good,
        exposure=spectrum.exposure,
        area_scale=spread(spectrum.area_scale, index, channels, fill=1.0),
        response=response,
        background=background,
        grouping=None if grouping is None else spread(grouping, index, channels),
        observation=text(cards, "OBS_ID"),
        target=says(cards, "OBJECT"),
        instrument=says(cards, "TELESCOP", "INSTRUME", "FILTER"),
        notes=(*notes, *response.notes),
    )


def _refuse_unusable(spectrum: Spectrum) -> Iterator[str]:
    """Refuse what is no Poisson count; note what is left aside."""
    name, cards = spectrum.name, spectrum.cards
    if spectrum.net:
        raise InputError(
            f"{name}: HDUCLAS2 is NET, its background is subtracted, so its counts are not "
            "Poisson; give the total spectrum and its background"
        )
    if not spectrum.whole:
        part = np.abs(spectrum.counts - np.rint(spectrum.counts))
        worst = int(np.argmax(part))
        raise InputError(
            f"{name}: channel {spectrum.channels[worst]} has {spectrum.counts[worst]:g} counts, "
            "not a whole number, so they are not Poisson; give the counts as observed"
        )
    if not (np.all(np.isfinite(spectrum.area_scale)) and np.all(spectrum.area_scale > 0)):
        raise InputError(
            f"{name}: AREASCAL is {spectrum.area_scale.min():g} somewhere; it must be positive, "
            "mark such channels with QUALITY"
        )
    if "BKG" in (cards.get("HDUCLAS2"), cards.get("HDUCLAS3")):
        yield "the header says that this is a background spectrum"
    if cards.get("POISSERR") is False:
        yield "POISSERR is F, but the counts are whole: taken as Poisson"
    if follow(spectrum.links["CORRFILE"], spectrum.path.parent).given:
        yield f"CORRFILE {spectrum.links['CORRFILE']} is not applied"
    if (bad := np.count_nonzero(spectrum.bad)) > 0:
        yield f"{bad} channels are of bad quality: left out"


def _response(spectrum: Spectrum, links: Links, notes: list[str]) -> Response:
    """Read the response the header or the user names."""
    rmf = _link(spectrum, "RESPFILE", links.rmf, "--rmf")
    arf = _link(spectrum, "ANCRFILE", links.arf, "--arf")
    beside = sorted(
        path.name
        for path in spectrum.path.parent.iterdir()
        if path.name.split(".")[0] == spectrum.path.name.split(".")[0]
        and path.name.lower().removesuffix(".gz").endswith(_RESPONSES)
    )
    hint = f" (beside it lie {', '.join(beside)})" if beside else ""
    for link, key, option in ((rmf, "RESPFILE", "--rmf"), (arf, "ANCRFILE", "--arf")):
        if link.given and link.path is None:
            raise InputError(
                f"{spectrum.name}: {key} {link.text} is neither there nor beside the spectrum"
                f"{hint}; put it there or give {option}"
            )
    if rmf.path is None:
        raise InputError(f"{spectrum.name}: RESPFILE names no response{hint}; give --rmf and --arf")
    response = read_response(rmf.path, arf.path)
    if says(spectrum.cards, "CHANTYPE") == "PHA" and response.channels != spectrum.channels.size:
        notes.append("channels are PHA, not PI: the response must be one for PHA channels")
    return response


def _link(spectrum: Spectrum, key: str, given: str | None, option: str) -> Link:
    """Follow what the user gave, or else the header."""
    if given is not None:
        return override(given, option)
    return follow(spectrum.links[key], spectrum.path.parent)
