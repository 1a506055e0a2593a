"""The command `inspect` of an X-ray run: one observation read and deconvolved again, and drawn.

A source that was fitted is drawn by `xray_fit_inspect`; this is for observations alone: all of a
run without the second stage, and the members of a stack.

The numbers are those of the run's table where it has the observation, and of the deconvolution just
made where it has not yet. Another method stands beside it for comparison.
"""

from pathlib import Path

import numpy as np

from ..io.errors import InputError
from ..io.observations import Observation, ObservationBatch, RefusedObservation
from ..io.ogip import observations
from ..io.records import BatchKey
from ..io.results import FitStatus
from ..io.xray_columns import XRAY_STATUS_TEXT
from .directory import RunDirectory
from .inspect import Numbers, as_text
from .labels import with_error
from .layers import read_run_toml
from .xray import XrayRecipe
from .xray_fit_inspect import Sources, inspect_source, status_numbers
from .xray_methods import Unfolder
from .xray_picture import Subject, draw_observation
from .xray_problem import WorkingObservation
from .xray_stage import links_of, open_method
from .xray_table import ObservationTable, Row, check_same_file, locate, require_file


def inspect_observation(run: Path, name: str, png: Path | None = None) -> str:
    """Read one observation of a run again, deconvolve it, draw it.

    Parameters
    ----------
    run : Path
        The run directory.
    name : str
        Its file, with ``[n]`` behind it for the spectrum n of a file of many; or a group.
    png : Path or None
        Where to draw; None for the text alone.

    Returns
    -------
    str
        The row, and what its status bits mean.

    Raises
    ------
    InputError
        If there is no such observation, it has changed or gone, or has no spectrum to draw.
    RunError
        If the run has no rows yet, or is damaged.
    StorageError
        If the disk refuses the picture.
    """
    table = ObservationTable(run)
    config = read_run_toml(RunDirectory(run).config)
    if table.table.manifest.later:
        source = Sources(run, config, table.table.manifest)
        if (place := source.place(name)) is not None:
            return inspect_source(source, place, png)
    path, index = locate(name, config.inputs, run)
    require_file(path)
    links = links_of(config.xray)
    check_same_file(path, links, table.table.manifest.fingerprint)
    found = _only(list(observations(path, links)), index, path)
    recipe = XrayRecipe(open_method(config.xray, config.engine.device))
    stored = table.find(found.name, found.path)
    batch = ObservationBatch(BatchKey(found.name, 0, 1), (found,))
    row = stored or recipe.fit(batch).to_pylist()[0]
    numbers = describe(row, fitted=stored is not None)
    if png is not None:
        if row["status"] & FitStatus.NO_DATA or not isinstance(found, Observation):
            raise InputError(f"{found.name}: no spectrum to draw: {row['reason']}")
        working = WorkingObservation.of(found)
        other = Unfolder("richardson-lucy" if recipe.method.name == "map" else "map")
        estimate = recipe.deconvolve([working])[0].estimate
        draw_observation(
            png,
            Subject(
                working.problem,
                found.exposure,
                estimate.flux,
                estimate.sigma,
                other.estimates([working.problem])[0].flux,
                (recipe.method.name, other.name),
            ),
            title=f"{found.name} · {row['target']}" if row["target"] else found.name,
            subtitle=f"{recipe.method.about} · stream-fit {config.version}",
            numbers=numbers,
        )
    return f"{found.name} of {path.parent}, run {run}\n" + as_text(numbers)


def describe(row: Row, *, fitted: bool) -> Numbers:
    """Put a row into names and values for people.

    Parameters
    ----------
    row : dict
        Column to value.
    fitted : bool
        False where the run's table does not have the row yet.

    Returns
    -------
    list of (str, str)
        ("", "") is a gap; a name without a value is a note.
    """
    numbers: Numbers = [
        (name, row[column])
        for name, column in (("OBS_ID", "observation"), ("instrument", "instrument"))
        if row[column]
    ]
    if not row["reason"]:
        numbers += [
            ("exposure", f"{row['exposure']:.0f} s"),
            ("counts", f"{row['counts']:.0f}"),
            ("background", f"{with_error(row['background_counts'], np.nan)} expected of them"),
            ("", ""),
            ("refolded", f"{row['refold_statistic']} {row['refold_cstat']:.1f}"),
            (
                "expected",
                f"{row['refold_expected']:.1f} in {row['refold_bins']} bins, less "
                f"{row['refold_freedom']:.1f} that a fit follows",
            ),
            ("difference", f"{row['refold_z']:+.2f} standard deviations"),
        ]
    new = "" if fitted else "not in the run's table yet: deconvolved just now"
    return numbers + status_numbers(row, XRAY_STATUS_TEXT, new=new)


def _only(
    found: list[Observation | RefusedObservation], index: int, path: Path
) -> Observation | RefusedObservation:
    """Choose one of the observations of a file."""
    if index < 0 and len(found) > 1:
        raise InputError(
            f"{path}: holds {len(found)} spectra; give {path.name}[1] to {path.name}[{len(found)}]"
        )
    if index >= len(found):
        raise InputError(f"{path}: holds {len(found)} spectra, none is number {index + 1}")
    return found[max(index, 0)]
