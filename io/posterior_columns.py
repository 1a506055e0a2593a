"""What a run with posteriors adds to its table: one declaration per column."""

from collections.abc import Sequence

import pyarrow as pa

from .results import Column, flux_unit

_OF = {
    "velocity": ("velocity, relative to the redshift of the run", "spect.dopplerVeloc.opt"),
    "broadening": ("broadening beyond the instrument", "phys.veloc.dispersion"),
}
_QUANTILES = {"q16": "15.87 %", "q50": "50 %", "q84": "84.13 %"}


def posterior_columns(lines: Sequence[str], unit: str) -> list[Column]:
    """Declare the columns of the posterior.

    Parameters
    ----------
    lines : sequence of str
        Names of the lines, in the order of their columns.
    unit : str
        Of the data, as the cube writes it.
    """
    columns = []
    for name, (text, ucd) in _OF.items():
        mean = f"mean of the posterior of {text}"
        columns += [
            _column(f"post_{name}", "km/s", mean, f"{ucd};stat.mean"),
            _column(
                f"post_{name}_sigma", "km/s", f"standard deviation of {text}", f"stat.stdev;{ucd}"
            ),
        ]
        columns += [
            _column(
                f"post_{name}_{key}", "km/s", f"{share} quantile of {text}", f"{ucd};stat.value"
            )
            for key, share in _QUANTILES.items()
        ]
    columns.append(
        _column(
            "log_evidence",
            "",
            "ln of the evidence of lines over that of the continuum alone; amplitudes have a flat "
            "prior of density 1 / (sqrt(2 pi n) noise), n the channels fitted",
            "stat.likelihood",
        )
    )
    for line in lines:
        columns += [
            _column(
                f"post_{line}_flux",
                flux_unit(unit),
                f"mean of the posterior flux of {line}, integrated over wavelength",
                "spect.line.intensity;stat.mean",
            ),
            _column(
                f"post_{line}_flux_sigma",
                flux_unit(unit),
                f"standard deviation of the posterior flux of {line}",
                "stat.stdev;spect.line.intensity",
            ),
        ]
    return columns


def _column(name: str, unit: str, description: str, ucd: str) -> Column:
    return Column(name, pa.float64(), unit, description, ucd)
