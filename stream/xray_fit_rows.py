"""Rows of the stage `fit`: what was fitted, put into the columns of the table."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..io.results import FitStatus
from ..io.xray_fit_columns import FitLayout
from ..kernels.xray_model import SourceModel
from ..kernels.xray_posterior import XrayPosterior
from .xray import NOTES_APART
from .xray_density import centre
from .xray_fitted import Fitted
from .xray_group import Gathered

Row = dict[str, object]


def arrays(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Put rows into Arrow."""
    columns = [pa.array([row[field.name] for row in rows], type=field.type) for field in schema]
    return pa.record_batch(columns, schema=schema)


def fitted_row(found: Fitted, layout: FitLayout) -> Row:
    """Give the columns of a group that was fitted."""
    fit = found.fit
    row = {
        **_about(found.gathered, found.model),
        "status": int(found.status),
        "reason": "",
        "notes": NOTES_APART.join(found.notes),
        "statistic": _statistic(found.gathered),
        "cstat": fit.statistic,
        "cstat_expected": fit.expected,
        "cstat_z": found.z,
        "dof": fit.dof,
    }
    for one in layout.quantities:
        row |= {one.name: np.nan, f"{one.name}_err": np.nan}
    # Factors of members follow the parameters of the source.
    for name, value, error in zip(found.model.names, fit.values, fit.errors, strict=False):
        row |= {name: float(value), f"{name}_err": float(error)}
    if layout.network:
        row |= _network(found)
    if layout.bayes:
        assert found.posterior is not None
        row |= _posterior(found.posterior, found.model, refined=found.refined)
    if layout.against:
        row["log_bayes_factor"] = found.log_bayes_factor
    return row | (_stacked(found) | _norms(found) if layout.stacked else {})


def refused_row(gathered: Gathered, schema: pa.Schema, model: SourceModel) -> Row:
    """Give the columns of a group there is no fit of: NaN wherever a number could be."""
    row: Row = {}
    for field in schema:
        if pa.types.is_fixed_size_list(field.type):
            row[field.name] = np.full(field.type.list_size, np.nan)
        elif pa.types.is_list(field.type):
            row[field.name] = []
        elif pa.types.is_floating(field.type):
            row[field.name] = np.nan
        else:
            row[field.name] = 0 if pa.types.is_integer(field.type) else ""
    row |= _about(gathered, model)
    return row | {"status": int(FitStatus.NO_DATA), "reason": gathered.reason}


def _about(gathered: Gathered, model: SourceModel) -> Row:
    """Say what was fitted."""
    exposure = sum(one.exposure for one in gathered.observations)
    return {
        "group": gathered.group.name,
        "members": [one.name for one in gathered.observations],
        "target": gathered.target,
        "notes": NOTES_APART.join(gathered.notes),
        "exposure": float(exposure),
        "counts": gathered.counts,
        "background_counts": gathered.background,
        "model": model.name,
        "redshift": gathered.group.redshift,
        "redshift_err": 0.0,
    }


def _statistic(gathered: Gathered) -> str:
    """Name the statistic."""
    measured = [one.background is not None for one in gathered.members]
    return "w" if all(measured) else "cash+w" if any(measured) else "cash"


def _network(found: Fitted) -> Row:
    """Give the centre of the network's density; NaN where it is out of its range."""
    row: Row = {"mdn_two": np.nan}
    for name in found.model.names:
        row |= {f"mdn_{name}": np.nan, f"mdn_{name}_sigma": np.nan}
    mixture = found.density.of(found.model) if found.density is not None else None
    if mixture is None or found.density is None:
        return row
    row["mdn_two"] = found.density.second
    for name, value, sigma in zip(found.model.names, *centre(found.model, mixture), strict=True):
        row |= {f"mdn_{name}": float(value), f"mdn_{name}_sigma": float(sigma)}
    return row


def _posterior(found: XrayPosterior, model: SourceModel, *, refined: bool) -> Row:
    """Give moments, quantiles and evidence."""
    row: Row = {}
    for place, name in enumerate(model.names):
        row |= {f"post_{name}": found.mean[place], f"post_{name}_sigma": found.sigma[place]}
        for key in ("q16", "q50", "q84"):
            row[f"post_{name}_{key}"] = getattr(found, key)[place]
    return row | {
        "log_evidence": found.log_evidence,
        "log_evidence_err": found.log_evidence_error,
        "k_hat": found.k_hat,
        "post_method": "nested" if refined else "importance",
    }


def _norms(found: Fitted) -> Row:
    """Give the members' norms over that of the first; of one member 1."""
    norms, posterior, own = found.norms, found.posterior, found.model.own
    one, none = np.ones(1), np.zeros(1)
    free = posterior is not None and not found.tied
    return {
        "factors": one if norms is None else norms.factors,
        "factors_err": none if norms is None else norms.errors,
        "norms_fall": np.nan if norms is None else norms.fall,
        "norms_probability": np.nan if norms is None else norms.probability,
        "post_factors": np.append(1.0, posterior.mean[own:]) if posterior and free else one,
        "post_factors_sigma": np.append(0.0, posterior.sigma[own:]) if posterior and free else none,
    }


def _stacked(found: Fitted) -> Row:
    """Give the stacked spectrum, and the one of all counts at once."""
    stack, estimate = found.stack, found.estimate
    assert stack is not None
    assert estimate is not None
    return {
        "stack_log_photon_flux": stack.log_flux,
        "stack_sigma": stack.sigma,
        "stack_jackknife": stack.jackknife,
        "stack_length": stack.length,
        "stack_ratio": stack.ratio,
        "joint_log_photon_flux": estimate.log_flux,
        "joint_sigma": estimate.sigma,
    }
