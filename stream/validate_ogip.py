"""What the reader finds in an X-ray spectrum and the files it links to: rows for `validate`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..io.errors import InputError
from ..io.observations import Observation, RefusedObservation, Response
from ..io.ogip import Links, observations
from ..kernels.coincidence import shared_events
from ..kernels.response import DETECTOR_EDGES

_SHARED = 5.0  # standard deviations above which a background is said to hold the source
_LOW, _HIGH = 0.5, 7.0  # keV, where Chandra has both area and a known response

Row = tuple[str, str]


def observation_rows(path: Path, links: Links | None = None) -> list[Row]:
    """Describe every observation of a PHA file.

    Parameters
    ----------
    path : Path
        Of type I or II.
    links : Links
        Files to take in place of those in the header.

    Returns
    -------
    list of (label, text)

    Raises
    ------
    InputError
        If none of its observations can be read, saying why the first cannot.
    """
    found = list(observations(path, links))
    refused = [one for one in found if isinstance(one, RefusedObservation)]
    if len(refused) == len(found):
        raise InputError(refused[0].reason if refused else f"{path.name}: no spectrum in it")
    rows: list[Row] = [("file", path.name)]
    if len(found) > 1:
        rows.append(("spectra", f"{len(found)}, {len(refused)} of them refused"))
    for one in found:
        if len(found) > 1:
            rows.append(("spectrum", one.name))
        rows += _rows(one) if isinstance(one, Observation) else [("refused", one.reason)]
    return rows


def overlap_note(found: Observation) -> str:
    """Say how many events of the source its background holds; "" where there are none."""
    if found.background is None:
        return ""
    band = found.band(_LOW, _HIGH)
    source, beside = found.counts[band], found.background.counts[band]
    events, z = shared_events(source, beside)
    if z <= _SHARED or events > min(source.sum(), beside.sum()):
        return ""
    return (
        f"about {events:.0f} events are in the background as well as in the source ({z:.1f} sigma "
        "more than by chance): its region covers the source's; extract it elsewhere"
    )


def _rows(found: Observation) -> Iterator[Row]:
    """Describe one observation."""
    response = found.response
    good = np.count_nonzero(found.good)
    yield "format", "OGIP spectrum"
    yield "target", found.target or "not named"
    yield "instrument", found.instrument or "unnamed"
    yield "observation", found.observation or "not named"
    yield "exposure", f"{found.exposure:.1f} s"
    yield "channels", f"{response.channels} from {response.first_channel}, {good} good"
    yield "grouping", _grouping(found)
    yield "counts", _counts(found)
    yield "background", _background(found)
    yield from _response(response)
    yield from _overlap(found)
    for note in found.notes:
        yield "note", note


def _counts(found: Observation) -> str:
    """Count in all, and in the band that is unfolded."""
    total = found.counts.sum()
    band = found.counts[found.band(_LOW, _HIGH)].sum()
    return f"{total:.0f}, {band:.0f} of them in {_LOW:g} to {_HIGH:g} keV"


def _grouping(found: Observation) -> str:
    """Say whether the file groups its channels."""
    if found.grouping is None:
        return "none"
    groups = np.count_nonzero(found.grouping == 1)
    return f"{groups} groups in the file, undone: native channels are used"


def _background(found: Observation) -> str:
    """Describe the background."""
    background = found.background
    if background is None:
        return "none"
    band = found.band(_LOW, _HIGH)
    scale = background.scale[found.good]
    spread = f"{scale.min():.4g}" if np.ptp(scale) == 0 else f"{scale.min():.4g}-{scale.max():.4g}"
    own = [Path(path).name for path in (background.rmf, background.arf) if path]
    return (
        f"{background.name}, {background.counts[band].sum():.0f} counts x {spread} = "
        f"{background.expected[band].sum():.1f} in {_LOW:g} to {_HIGH:g} keV"
        + (f", own response {' with '.join(own)}" if own else "")
    )


def _overlap(found: Observation) -> Iterator[Row]:
    """Say where the background holds events of the source."""
    if text := overlap_note(found):
        yield "note", text


def _response(response: Response) -> Iterator[Row]:
    """Describe the response and what part of the working band it covers."""
    peak = int(np.argmax(response.area * response.matrix.sum(axis=1)))
    energy = 0.5 * (response.energy_low[peak] + response.energy_high[peak])
    area = response.area[peak] * response.matrix[[peak]].sum()
    low, high = response.channel_low.min(), response.channel_high.max()
    yield (
        "response",
        f"{response.name}, {response.energies} energies x {response.channels} channels",
    )
    yield "area", f"{area:.1f} cm2 at most, at {energy:.2f} keV"
    yield (
        "energies",
        f"photons {response.energy_low[0]:g} to {response.energy_high[-1]:g} keV, channels "
        f"{low:g} to {high:g} keV",
    )
    if low > DETECTOR_EDGES[0] or high < DETECTOR_EDGES[-1]:
        yield "note", f"the channels do not cover {_LOW:g} to {_HIGH:g} keV"
