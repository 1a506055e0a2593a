"""The command `inspect` of a source that was fitted: fitted again, drawn, and told in words.

A fit and the draws of its posterior follow from the files, the first table and the seed alone, so
they are the ones of the run's table.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ..io.errors import InputError
from ..io.group_source import Group, GroupSource
from ..io.manifest import RunManifest
from ..io.observation_source import ObservationSource
from ..io.results import FitStatus
from ..io.table import row_groups
from ..io.xray_fit_columns import XRAY_FIT_STATUS_TEXT
from ..kernels.plasma import flux_density
from ..kernels.response import ENERGY_EDGES
from ..kernels.xray_model import MODELS, SourceModel
from .config import RunConfig
from .inspect import Numbers, as_text, status_words
from .labels import unit_text, with_error
from .xray import NOTES_APART
from .xray_fit import XrayFitRecipe
from .xray_fit_stage import open_recipe
from .xray_fitted import Fitted
from .xray_group import gather
from .xray_groups import are_stacked, groups_of
from .xray_picture import Corner, Subject, draw_observation
from .xray_stage import links_of, open_method
from .xray_table import check_same_file, locate, require_file

Row = dict[str, Any]

_FITTED = "fit"


class Sources:
    """The groups of a run.

    Parameters
    ----------
    run : Path
    config : RunConfig
    manifest : RunManifest
    """

    def __init__(self, run: Path, config: RunConfig, manifest: RunManifest) -> None:
        self.run, self.config, self.manifest = run, config, manifest
        paths = [Path(path) for path in config.inputs]
        for path in paths:
            require_file(path)
        self.observations = ObservationSource(paths, links=links_of(config.xray), batch=1)
        self.groups = groups_of(self.observations, config.xray)
        self.source = GroupSource(self.observations, self.groups, run / "deconvolve")

    def place(self, name: str) -> int | None:
        """Find a group by its name, or by that of its only member; None where there is none."""
        named = [place for place, group in enumerate(self.groups) if group.name == name]
        if len(named) == 1:
            return named[0]
        try:
            path, row = locate(name, self.config.inputs, self.run)
        except InputError:
            return None
        of_file = [place for place, (_, file) in enumerate(self.observations.names) if file == path]
        if row >= len(of_file) or (row < 0 and len(of_file) > 1):
            return None
        only = (of_file[max(row, 0)],)
        return next(
            (place for place, group in enumerate(self.groups) if group.members == only), None
        )

    def check_unchanged(self, group: Group) -> None:
        """Refuse members that are not what the run fitted."""
        for member in group.members:
            path = self.observations.names[member][1]
            check_same_file(path, self.observations.links, self.manifest.fingerprint)

    def row(self, place: int) -> Row | None:
        """Read a group's row; None where it is not fitted yet."""
        for (start, stop), (path, number) in row_groups(self.run / _FITTED).items():
            if start <= place < stop:
                with pq.ParquetFile(path, pre_buffer=False) as part:
                    rows = part.read_row_group(number, use_threads=False)
                return rows.slice(place - start, 1).to_pylist()[0]
        return None


def inspect_source(found: Sources, place: int, png: Path | None) -> str:
    """Fit one group of a run again, and draw it.

    Parameters
    ----------
    found : Sources
    place : int
        Of the group.
    png : Path or None
        Where to draw; None for the text alone.

    Returns
    -------
    str
        The row, and what its status bits mean.

    Raises
    ------
    InputError
        If a member has changed or gone, or there is nothing to draw.
    RunError
        If the first stage has not come so far, or a table is damaged.
    StorageError
        If the disk refuses the picture.
    """
    group = found.groups[place]
    found.check_unchanged(group)
    stored = found.row(place)
    chosen = found.config.xray
    if stored is not None and png is None:
        return _text(found, group, stored, fitted=True)
    method = open_method(chosen, found.config.engine.device)
    recipe = open_recipe(chosen, found.config, method, stacked=are_stacked(found.groups))
    gathered = gather(group, found.source.members(group))
    if png is not None and gathered.reason:
        raise InputError(f"{group.name}: no fit to draw: {gathered.reason}")
    row = stored or recipe.row_of(gathered, place)
    if png is not None:
        _draw(png, recipe, recipe.explain(gathered, place), row, fitted=stored is not None)
    return _text(found, group, row, fitted=stored is not None)


def describe(row: Row, model: SourceModel, *, fitted: bool) -> Numbers:
    """Put a row into names and values for people.

    Parameters
    ----------
    row : dict
        Column to value.
    model : SourceModel
    fitted : bool
        False where the run's table does not have the row yet.

    Returns
    -------
    list of (str, str)
        ("", "") is a gap; a name without a value is a note.
    """
    numbers: Numbers = [("model", f"{row['model']} at redshift {row['redshift']:g}")]
    if not row["reason"]:
        numbers += [
            ("counts", f"{row['counts']:.0f} in {row['exposure']:.0f} s"),
            ("background", f"{with_error(row['background_counts'], np.nan)} expected of them"),
            ("", ""),
        ]
        for one in model.parameters:
            value = with_error(row[one.name], row[f"{one.name}_err"])
            unit = unit_text(one.unit)
            # A power of ten in the unit is not one of the value.
            unit = f"[{unit}]" if one.unit.startswith("1e") else unit
            numbers.append((one.name, f"{value} {unit}".rstrip()))
        numbers += [
            ("", ""),
            (row["statistic"], f"{row['cstat']:.1f} for {row['dof']} degrees of freedom"),
            ("expected", f"{row['cstat_expected']:.1f}, {row['cstat_z']:+.2f} σ"),
        ]
        numbers += _network(row, model) + _posterior(row, model)
    if len(row["members"]) > 1:
        numbers += [("", ""), ("members", f"{len(row['members'])}, {row['members'][0]} first")]
        numbers += _norms(row)
        numbers.append(("jackknife", f"{row['stack_ratio']:.2f} of the band"))
    new = "" if fitted else "not in the run's table yet: fitted just now"
    return numbers + status_numbers(row, XRAY_FIT_STATUS_TEXT, new=new)


def status_numbers(row: Row, texts: Mapping[FitStatus, str], *, new: str) -> Numbers:
    """Put what is to be said of a row below its numbers: status, bits, reason, notes.

    Parameters
    ----------
    row : dict
    texts : mapping
        What the bits mean.
    new : str
        Said of a row that the run's table does not have; "" of one that it has.
    """
    numbers: Numbers = [("", ""), ("status", status_words(row["status"]))]
    numbers += [(f"{bit.name}: {texts[bit]}", "") for bit in FitStatus if row["status"] & bit]
    said = row["reason"], *row["notes"].split(NOTES_APART), new
    return numbers + [(text, "") for text in said if text]


def _norms(row: Row) -> Numbers:
    """Write the members' norms over that of the first, and whether they may be one."""
    each = zip(row["members"], row["factors"], row["factors_err"], strict=True)
    numbers: Numbers = [
        ("norm", f"{with_error(factor, error)} of the first: {name}")
        for name, factor, error in list(each)[1:]
    ]
    fall = f"cstat falls by {row['norms_fall']:.1f}, probability {row['norms_probability']:.2g}"
    return [*numbers, ("norms free", fall)]


def _network(row: Row, model: SourceModel) -> Numbers:
    """Write what the network says."""
    if "mdn_two" not in row or not np.isfinite(row["mdn_two"]):
        return []
    numbers: Numbers = [("", ""), ("network", f"two plasmas: {row['mdn_two']:.0%}")]
    return numbers + [
        (name, with_error(row[f"mdn_{name}"], row[f"mdn_{name}_sigma"])) for name in model.names
    ]


def _posterior(row: Row, model: SourceModel) -> Numbers:
    """Write the posterior with its central 68 %, and the evidence."""
    if "log_evidence" not in row:
        return []
    numbers: Numbers = [("", ""), ("posterior", "mean ± sigma   16 % to 84 %")]
    for name in model.names:
        own = f"post_{name}"
        between = f"   {row[f'{own}_q16']:.3g} to {row[f'{own}_q84']:.3g}"
        numbers.append((name, with_error(row[own], row[f"{own}_sigma"]) + between))
    numbers.append(("ln evidence", with_error(row["log_evidence"], row["log_evidence_err"])))
    if "log_bayes_factor" in row:
        numbers.append(("ln Bayes", f"{row['log_bayes_factor']:+.2f}"))
    numbers.append(("k-hat", f"{row['k_hat']:.2f}, {row['post_method']}"))
    return numbers


def _text(found: Sources, group: Group, row: Row, *, fitted: bool) -> str:
    """Write a row for the terminal."""
    numbers = describe(row, MODELS[row["model"]], fitted=fitted)
    return f"{group.name}, run {found.run}\n" + as_text(numbers)


def _draw(png: Path, recipe: XrayFitRecipe, found: Fitted, row: Row, *, fitted: bool) -> None:
    """Draw counts, spectrum, model and posterior."""
    gathered, model = found.gathered, found.model
    estimate = found.estimate or gathered.estimate(recipe.method, found.factors)
    photons = model.photons(recipe.table, found.fit.values, gathered.group.redshift)
    corner = None
    if found.posterior is not None:
        labels = tuple(
            f"{one.name} [{unit_text(one.unit)}]" if one.unit else one.name
            for one in model.parameters
        )
        corner = Corner(
            found.posterior.draws[:, : model.own], found.fit.values[: model.own], labels
        )
    target = gathered.target
    name = gathered.group.name
    draw_observation(
        png,
        Subject(
            gathered.problem(found.factors),
            sum(one.exposure for one in gathered.observations),
            estimate.flux,
            estimate.sigma,
            flux_density(recipe.table.edges, photons, ENERGY_EDGES),
            (recipe.method.name, model.name),
            fitted=True,
        ),
        title=f"{name} · {target}" if target and target != name else name,
        subtitle=f"{model.name} on native channels",
        numbers=describe(row, model, fitted=fitted),
        corner=corner,
    )
