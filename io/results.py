"""What a table of results says: one declaration per column, and the bits of its status.

A column is declared once, with its unit, its description and its UCD (IVOA UCD1+), and the Arrow
schema, the FITS headers and the help follow from that. Numbers are float64 throughout: a flux of
1e-20 may be squared in an expression without underflow, and a table is still a tenth of its cube.
The error of a column N is always called ``N_err``. How tables lie on disk is `parts.py`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag

import pyarrow as pa


class FitStatus(IntFlag):
    """What a row has to say about itself; 0 is good. Bits 16 to 23 are for users."""

    NO_DATA = 1 << 0
    NONFINITE = 1 << 1
    NO_SIGNAL = 1 << 2
    MDN_OUT_OF_RANGE = 1 << 3
    SEEDS_DISAGREE = 1 << 4
    MAX_ITERATIONS = 1 << 5
    AT_BOUND = 1 << 6
    SINGULAR = 1 << 7
    NEGATIVE_AMPLITUDE = 1 << 8
    POOR_FIT = 1 << 9
    REFOLD_REJECTED = 1 << 10
    POSTERIOR_ROUGH = 1 << 11


STATUS_TEXT: Mapping[FitStatus, str] = {
    FitStatus.NO_DATA: "too few good channels to fit; the row is NaN",
    FitStatus.NONFINITE: "some channels are not finite and were dropped",
    FitStatus.NO_SIGNAL: "no line above the noise: the values are limits; try --bin",
    FitStatus.MDN_OUT_OF_RANGE: "outside what the network was trained on; its columns are not used",
    FitStatus.SEEDS_DISAGREE: "two starts end in different minima: another velocity is possible",
    FitStatus.MAX_ITERATIONS: "not converged: errors are rough; look at it with inspect",
    FitStatus.AT_BOUND: "a parameter ends on its bound; widen --velocity-range or "
    "--broadening-range",
    FitStatus.SINGULAR: "parameters cannot be told apart: errors are NaN, or a component is "
    "missing; fit fewer lines or components",
    FitStatus.NEGATIVE_AMPLITUDE: "a line is significantly negative: absorption, sky residual or "
    "a wrong velocity",
    FitStatus.POOR_FIT: "chi2 is far above dof: noise too low or a model too simple",
    FitStatus.REFOLD_REJECTED: "the deconvolved spectrum, refolded, does not give the counts",
    FitStatus.POSTERIOR_ROUGH: "the posterior reaches beyond what was integrated, or k_hat is "
    "above 0.7: its columns are rough; widen the ranges, give --refine, or inspect it",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    name : str
        As it stands in the table.
    type : pyarrow.DataType
        Of one value.
    unit : str
        As FITS writes units; "" for a pure number.
    description : str
        One line.
    ucd : str
        IVOA UCD1+ word; "" where none exists.
    """

    name: str
    type: pa.DataType
    unit: str
    description: str
    ucd: str = ""

    @property
    def field(self) -> pa.Field:
        """The Arrow field, its metadata included."""
        metadata = {"unit": self.unit, "description": self.description}
        if self.ucd:
            metadata["ucd"] = self.ucd
        return pa.field(self.name, self.type, nullable=False, metadata=metadata)


def flux_unit(unit: str) -> str:
    """Multiply a density per angstrom, spelt as the cube spells it, by angstrom.

    An unknown unit ("") stays unknown.
    """
    per_angstrom = re.compile(
        r"\s*/\s*(?:(?i:angstroms?|ang)|A)\b|[\s.*]*(?:(?i:angstroms?|ang)|A)\s?(?:\*\*|\^)?\(?-1\)?"
    )
    bare, found = per_angstrom.subn("", unit, count=1)
    if found:
        return bare.strip()
    # erg / (s Angstrom cm2), as astropy writes
    bare, found = re.subn(r"(/\s*\([^()]*?)\bAngstrom\b\s?", r"\1", unit, count=1)
    if found:
        return bare.replace(" )", ")")
    return f"{unit} Angstrom".strip() if unit.strip() else ""


def _measured(name: str, unit: str, description: str, ucd: str) -> list[Column]:
    """Declare a column and the one of its error."""
    return [
        Column(name, pa.float64(), unit, description, ucd),
        Column(
            f"{name}_err",
            pa.float64(),
            unit,
            f"standard error of: {description}",
            f"stat.error;{ucd}",
        ),
    ]


def component_suffix(component: int) -> str:
    """Give what ends the names of a component's columns, counted from 0: "", _c2, _c3."""
    return f"_c{component + 1}" if component else ""


def kinematic_suffix(index: int, groups: int) -> str:
    """Give what ends the name of a velocity: of group index % groups, component index // groups."""
    component, group = divmod(index, groups)
    return (f"_g{group + 1}" if group else "") + component_suffix(component)


def _kinematics(index: int, groups: int) -> list[Column]:
    """Declare velocity and broadening of one kinematic group of one component."""
    component, group = divmod(index, groups)
    suffix = kinematic_suffix(index, groups)
    of = f" of kinematic group {group + 1}" if group else ""
    of += f" of component {component + 1}" if component else ""
    return [
        *_measured(
            f"velocity{suffix}",
            "km/s",
            f"velocity{of}, c dlambda / lambda0, relative to the redshift of the run",
            "spect.dopplerVeloc.opt",
        ),
        *_measured(
            f"broadening{suffix}",
            "km/s",
            f"Gaussian standard deviation{of} beyond the instrument; 0 where the line shape "
            "has none",
            "phys.veloc.dispersion",
        ),
    ]


def _lines(lines: Sequence[str], unit: str, component: int) -> list[Column]:
    """Declare amplitudes and fluxes of one component."""
    suffix, columns = component_suffix(component), []
    of = f", component {component + 1}" if component else ""
    for line in lines:
        columns += _measured(
            f"{line}_amplitude{suffix}",
            unit,
            f"peak of {line} as observed{of}",
            "phot.flux.density;spect.line",
        )
        columns += _measured(
            f"{line}_flux{suffix}",
            flux_unit(unit),
            f"flux of {line}, integrated over wavelength{of}",
            "spect.line.intensity",
        )
    return columns


def optical_columns(
    lines: Sequence[str], unit: str, groups: int = 1, components: int = 1
) -> list[Column]:
    """Declare the table of the optical fit.

    Parameters
    ----------
    lines : sequence of str
        Names of the lines, in the order of their columns.
    unit : str
        Of the data, as the cube writes it.
    groups : int
        Kinematic groups of one component; group k > 1 has the columns ``velocity_gk``,
        ``velocity_gk_err`` and so on for broadening.
    components : int
        Component k > 1 has ``velocity_ck``, ``velocity_gj_ck``, ``LINE_flux_ck`` and so on, each
        with its error, and the table says how many components a row has.
    """
    columns = [
        Column("x", pa.int32(), "pixel", "0-based column: FITS pixel minus one", "pos.cartesian.x"),
        Column("y", pa.int32(), "pixel", "0-based row: FITS pixel minus one", "pos.cartesian.y"),
        Column("status", pa.int32(), "", "FitStatus bits, 0 is good", "meta.code.status"),
        *_kinematics(0, groups),
        *_measured(
            "continuum",
            unit,
            "continuum under Halpha, or the strongest line fitted",
            "phot.flux;spect.continuum",
        ),
        Column("chi2", pa.float64(), "", "chi squared at the minimum", "stat.fit.chi2"),
        Column("dof", pa.int32(), "", "good channels minus free parameters", "stat.fit.dof"),
        Column(
            "noise",
            pa.float64(),
            unit,
            "typical noise of one channel",
            "instr.det.noise;stat.stdev",
        ),
        Column("snr", pa.float64(), "", "peak of the brightest line over the noise", "stat.snr"),
    ]
    for group in range(1, groups):
        columns += _kinematics(group, groups)
    columns += _lines(lines, unit, 0)
    if components > 1:
        columns.append(
            Column("components", pa.int32(), "", "kinematic components of the row", "meta.number")
        )
    for component in range(1, components):
        for group in range(groups):
            columns += _kinematics(component * groups + group, groups)
        columns += _lines(lines, unit, component)
    return columns


def line_names(schema: pa.Schema) -> list[str]:
    """Lines a table has fluxes of, in the order of its columns."""
    found = [name.removesuffix("_flux") for name in schema.names if name.endswith("_flux")]
    return [name for name in found if not name.startswith("post_")]


def arrow_schema(columns: Iterable[Column], metadata: Mapping[str, str]) -> pa.Schema:
    """Build the schema of a table.

    Parameters
    ----------
    columns : iterable of Column
        In the order of the table.
    metadata : mapping
        What a reader must know of the whole table: line set, noise, conventions.
    """
    return pa.schema([column.field for column in columns], metadata=dict(metadata))
