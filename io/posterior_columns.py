"""What a run with posteriors adds to its table: one declaration per column."""

from collections.abc import Sequence

import pyarrow as pa

from .results import Column, component_suffix, flux_unit, kinematic_suffix

_OF = {
    "velocity": ("velocity, relative to the redshift of the run", "spect.dopplerVeloc.opt"),
    "broadening": ("broadening beyond the instrument", "phys.veloc.dispersion"),
}
_QUANTILES = {"q16": "15.87 %", "q50": "50 %", "q84": "84.13 %"}


def posterior_columns(
    lines: Sequence[str], unit: str, groups: int = 1, components: int = 1
) -> list[Column]:
    """Declare the columns of the posterior.

    Parameters
    ----------
    lines : sequence of str
        Names of the lines, in the order of their columns.
    unit : str
        Of the data, as the cube writes it.
    groups, components : int
        Kinematic groups of one component, and components; velocities, broadenings and fluxes of
        those after the first are called as in the table of the fit.
    """
    columns = _kinematics("")
    columns.append(
        _column(
            "log_evidence",
            "",
            "ln of the evidence of lines over that of the continuum alone; amplitudes have a flat "
            "prior of density 1 / (sqrt(2 pi n) noise), n the channels fitted",
            "stat.likelihood",
        )
    )
    columns += _fluxes(lines, unit, "")
    for index in range(1, groups * components):
        columns += _kinematics(kinematic_suffix(index, groups))
    for component in range(1, components):
        columns += _fluxes(lines, unit, component_suffix(component))
    return columns


def comparison_columns(components: int) -> list[Column]:
    """Declare what sampled posteriors add: of several components also the Bayes factor."""
    columns = [
        _column(
            "k_hat",
            "",
            "shape of the tail of the importance weights: above 0.7 the row's posterior is not to "
            "be trusted; NaN where it was not sampled",
            "stat.value",
        )
    ]
    if components > 1:
        columns.append(
            _column(
                "log_bayes_factor",
                "",
                "ln of the evidence of the components given over that of one fewer; of none, over "
                "that of one",
                "stat.likelihood",
            )
        )
    return columns


def _kinematics(suffix: str) -> list[Column]:
    """Declare velocity and broadening of one group of one component."""
    columns = []
    for name, (text, ucd) in _OF.items():
        own = f"post_{name}{suffix}"
        mean = f"mean of the posterior of {text}"
        columns += [
            _column(own, "km/s", mean, f"{ucd};stat.mean"),
            _column(f"{own}_sigma", "km/s", f"standard deviation of {text}", f"stat.stdev;{ucd}"),
        ]
        columns += [
            _column(f"{own}_{key}", "km/s", f"{share} quantile of {text}", f"{ucd};stat.value")
            for key, share in _QUANTILES.items()
        ]
    return columns


def _fluxes(lines: Sequence[str], unit: str, suffix: str) -> list[Column]:
    """Declare the fluxes of one component."""
    columns = []
    for line in lines:
        columns += [
            _column(
                f"post_{line}_flux{suffix}",
                flux_unit(unit),
                f"mean of the posterior flux of {line}, integrated over wavelength",
                "spect.line.intensity;stat.mean",
            ),
            _column(
                f"post_{line}_flux{suffix}_sigma",
                flux_unit(unit),
                f"standard deviation of the posterior flux of {line}",
                "stat.stdev;spect.line.intensity",
            ),
        ]
    return columns


def _column(name: str, unit: str, description: str, ucd: str) -> Column:
    return Column(name, pa.float64(), unit, description, ucd)
