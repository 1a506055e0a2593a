"""The command `maps` of an X-ray run: each intrinsic spectrum as a FITS file."""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..io.errors import StorageError
from ..io.fits_spectrum import IntrinsicSpectrum, write_spectrum
from ..io.manifest import RunManifest
from ..io.results import FitStatus
from ..io.table import part_files, read_table
from ..kernels.xray_model import MODELS
from .xray_table import ObservationTable, Row


@dataclass(frozen=True, slots=True)
class SpectraReport:
    """What was written.

    Parameters
    ----------
    files : tuple of Path
    empty : int
        Observations without a spectrum.
    done, planned : int
        Observations in the table, and of the whole run.
    """

    files: tuple[Path, ...]
    empty: int
    done: int
    planned: int

    def __str__(self) -> str:
        """Say it in a line."""
        words = f"{len(self.files)} spectra"
        if self.empty:
            words += f", {self.empty} observations have none"
        if self.done < self.planned:
            words += (
                f"; the run is not complete: {self.planned - self.done} observations are to come"
            )
        return words


def write_spectra(run: Path, out: Path, *, where: str | None = None) -> SpectraReport:
    """Write a FITS file for every observation that has a spectrum.

    Parameters
    ----------
    run, out : Path
        The run directory, and the folder of the files (made if it is not there).
    where : str, optional
        Condition on columns; only rows where it holds are written.

    Raises
    ------
    InputError
        If `run` is not a run, or the expression is not one.
    RunError
        If the table has no rows yet, or is damaged.
    StorageError
        If the disk refuses.
    """
    found = ObservationTable(run)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out}: cannot be made ({error.strerror}); name another folder") from (
            error
        )
    files: list[Path] = []
    names: Counter[str] = Counter()
    empty = 0
    fitted = _fits(run, found.table.manifest)
    for row in found.rows(where):
        if row["status"] & FitStatus.NO_DATA:
            empty += 1
            continue
        path = out / f"{file_name(row['obs'], names)}.fits"
        spectrum = IntrinsicSpectrum(
            path.stem,
            found.edges,
            np.array(row["log_photon_flux"]),
            np.array(row["log_photon_flux_sigma"]),
        )
        write_spectrum(
            path, spectrum, cards=_cards(row, found.table.manifest) | fitted.get(row["obs"], {})
        )
        files.append(path)
    return SpectraReport(tuple(files), empty, found.table.rows, found.table.manifest.plan.spaxels)


def file_name(obs: str, names: Counter[str]) -> str:
    """Make a file name of an observation's: its ending taken off, a number where it comes again."""
    stem = re.sub(r"(\.(pi2?|pha2?|fits?|gz))+(?=\[|$)", "", obs, flags=re.IGNORECASE)
    stem = re.sub(r"[^\w.+-]+", "_", stem).strip("._") or "spectrum"
    names[stem] += 1
    return stem if names[stem] == 1 else f"{stem}_{names[stem]}"


def _cards(row: Row, manifest: RunManifest) -> dict[str, Any]:
    """Say in the header what was observed and how it was deconvolved."""
    stated = {
        "OBJECT": row["target"],
        "OBS_ID": row["observation"],
        "INSTRUME": row["instrument"],
    }
    cards: dict[str, Any] = {name: _ascii(text) for name, text in stated.items() if text}
    cards |= {
        "EXPOSURE": (row["exposure"], "[s]"),
        "COUNTS": (row["counts"], "in all good bins"),
        "BKGCOUNT": (row["background_counts"], "of the background expected among them"),
        "SFMETHOD": (manifest.table["method"], "how it was deconvolved"),
        "SFSTATUS": (row["status"], "FitStatus bits, 0 is good"),
        "REFOLD": (_number(row["refold_cstat"]), f"statistic {row['refold_statistic']} refolded"),
        "REFOLDEX": (_number(row["refold_expected"]), "its mean if the spectrum is true"),
        "REFOLDFR": (_number(row["refold_freedom"]), "by how much less is expected of a fit"),
        "REFOLDZ": (_number(row["refold_z"]), "standard deviations above what is expected"),
        "SFINPUT": (_ascii(Path(row["file"]).name), "spectrum"),
        "SFCONFIG": (manifest.digest[:16], "digest of the configuration"),
        "CREATOR": f"stream-fit {manifest.choices['version']}",
        "DATE": (datetime.now(UTC).isoformat(timespec="seconds")[:19], "this file, UTC"),
    }
    return cards


def _fits(run: Path, manifest: RunManifest) -> dict[str, dict[str, Any]]:
    """Give the cards of what was fitted, by observation; none where another has its name.

    Of a stack, all members have the cards of their group.
    """
    folder = run / "fit"
    if not manifest.later or not part_files(folder):
        return {}
    found: dict[str, dict[str, Any]] = {}
    twice: set[str] = set()
    for row in read_table(folder).to_pylist():
        for name in row["members"]:
            twice |= {name} & found.keys()
            found[name] = _fit_cards(row)
    return {name: cards for name, cards in found.items() if name not in twice}


def _fit_cards(row: Row) -> dict[str, Any]:
    """Say in the header what was fitted."""
    cards: dict[str, Any] = {
        "FITGROUP": (_ascii(row["group"]), "what was fitted together"),
        "FITMODEL": (row["model"], "on native channels"),
        "FITSTAT": (_number(row["cstat"]), f"statistic {row['statistic']} of the fit"),
        "FITEXP": (_number(row["cstat_expected"]), "its expectation"),
        "FITSTATU": (row["status"], "FitStatus bits of the fit, 0 is good"),
        "FITZ": (row["redshift"], "redshift, given"),
    }
    for name in MODELS[row["model"]].names:
        keyword = name.upper().replace("_", "")[:8]
        error = f"{keyword[:5]}ERR"
        cards[keyword] = (_number(row[name]), f"{name}, fitted")
        cards[error] = (_number(row[f"{name}_err"]), f"standard error of {name}")
    return cards


def _ascii(text: str) -> str:
    """Give what a FITS card can hold of a text."""
    return text.encode("ascii", "replace").decode()


def _number(value: float) -> float | str:
    """Give what a FITS card can hold of a number."""
    return value if np.isfinite(value) else str(value)
