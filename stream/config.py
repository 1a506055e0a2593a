"""What a run is to do, frozen, with its defaults and the digest of what changes its results.

How files and flags become a configuration is `layers.py`.
"""

import hashlib
import json
from dataclasses import dataclass, field
from importlib.metadata import version as distribution_version
from typing import Any

import tomli_w

from ..io.records import Area
from .options import OPTIONS

# Of the engine, only the seed changes the table.
_TABLE_KEYS = ("seed",)
_XSPEC = (
    "XSPEC: norm of a plasma 1e-14 / (4 pi D_A^2 (1+z)^2) int n_e n_H dV [cm-5], of a power law "
    "photons/cm2/s/keV at 1 keV; nH in 1e22 cm-2"
)
_FILES = ("optical.mask", "xray.arf", "xray.rmf", "xray.background", "xray.plasma")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How a run uses the machine. `threads` and `batch` are 0 where the engine chooses."""

    device: str = "auto"
    threads: int = 0
    memory: int = 2 * 2**30
    batch: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class OpticalConfig:
    """What the optical stage fits.

    Parameters
    ----------
    lines : tuple of str or None
        None: the strong lines in the band, and those of `custom_lines`.
    custom_lines : tuple of (name, air wavelength [nm])
        Lines defined by the user.
    redshift : float or None
        None: the cube's own, else 0.
    velocity_range, broadening_range : (low, high)
        Bounds [km/s].
    ils : {"auto", "gaussian", "sinc", "sincgauss"}
    resolution : float, "none" or None
        Resolving power of a FITS cube; "none": broadening as observed; None: the cube's own.
    window : (low, high) or None
        Channels to fit [cm-1 or nm, as the cube's axis].
    groups : tuple of tuples of str
        Kinematic groups; empty: all lines in one.
    ratios : tuple of (numerator, denominator, value) or None
        Fixed flux ratios; empty: all free; None: the defaults.
    continuum_degree : int
    components : int or "auto"
        Kinematic components of all lines; "auto": none, one or two, by their evidence.
    noise : {"auto", "variance", "band", "imaginary", "residual"}
    no_mdn : bool
        Leave out the mixture density network.
    bayes : bool
        Integrate posteriors.
    prior : {"mdn", "flat", "neighbours"} or None
        Of velocity and broadening; None without `bayes`.
    prior_width : float
        Factor on the standard deviations of the network's density, for `mdn` alone.
    positive : bool
        Posterior amplitudes are not negative.
    refine : bool
        Sample again, nested, what importance sampling does not settle.
    region : Area or None
        None: the whole cube.
    mask : str or None
        Absolute path.
    bin : int
        Side of a bin [spaxels].
    """

    lines: tuple[str, ...] | None = None
    custom_lines: tuple[tuple[str, float], ...] = ()
    redshift: float | None = None
    velocity_range: tuple[float, float] = (-1000.0, 1000.0)
    broadening_range: tuple[float, float] = (1.0, 500.0)
    ils: str = "auto"
    resolution: float | str | None = None
    window: tuple[float, float] | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    ratios: tuple[tuple[str, str, float], ...] | None = None
    continuum_degree: int = 1
    components: int | str = 1
    noise: str = "auto"
    no_mdn: bool = False
    bayes: bool = False
    prior: str | None = None
    prior_width: float = 10.0
    positive: bool = False
    refine: bool = False
    region: Area | None = None
    mask: str | None = None
    bin: int = 1


@dataclass(frozen=True, slots=True)
class XrayConfig:
    """How X-ray observations are read, deconvolved and fitted.

    Parameters
    ----------
    method : {"rim", "map", "richardson-lucy", "tikhonov", "isis", "inverse"}
    arf, rmf, background : str or None
        Absolute path of the file for all observations, "none" for none; None: as their headers
        say.
    no_fit : bool
        Deconvolve only.
    model : str
        Key of `kernels.xray_model.MODELS`.
    stack_by : str
        "obs", "group" (by target), or the absolute path of a table.
    norms : {"tied", "free"}
        Whether members of a group have one norm, or each its own.
    redshift : float or None
        Of sources the table does not name; None: 0.
    nh : float or None
        Galactic column [1e22 cm-2]; None: free.
    plasma : str
        "shipped", or the absolute path of a table model.
    bayes : bool
        Sample posteriors.
    prior : {"mdn", "flat"} or None
        None without `bayes`.
    prior_width : float
        Factor on the standard deviations of the network's density.
    against : str or None
        Another model whose evidence is compared.
    refine : bool
        Nested sampling of rows whose importance weights fail.
    """

    method: str = "rim"
    arf: str | None = None
    rmf: str | None = None
    background: str | None = None
    no_fit: bool = False
    model: str = "apec1"
    stack_by: str = "obs"
    norms: str = "tied"
    redshift: float | None = None
    nh: float | None = None
    plasma: str = "shipped"
    bayes: bool = False
    prior: str | None = None
    prior_width: float = 10.0
    against: str | None = None
    refine: bool = False


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All that a run is told.

    Parameters
    ----------
    stage : {"optical", "xray"}
    input : str
        Absolute path of the cube, or of the first spectrum.
    engine : EngineConfig
    optical : OpticalConfig
    version : str
        Of stream-fit.
    xray : XrayConfig
    more : tuple of str
        Absolute paths of the other spectra.
    """

    stage: str
    input: str
    engine: EngineConfig = field(default_factory=EngineConfig)
    optical: OpticalConfig = field(default_factory=OpticalConfig)
    version: str = field(default_factory=lambda: distribution_version("stream-fit"))
    xray: XrayConfig = field(default_factory=XrayConfig)
    more: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Paths of all that is read."""
        return (self.input, *self.more)

    def table(self) -> dict[str, dict[str, Any]]:
        """Give the configuration as ``run.toml`` holds it; what is None is left out."""
        run: dict[str, Any] = {"stage": self.stage, "input": self.input, "version": self.version}
        if self.more:
            run["more"] = list(self.more)
        if self.stage == "optical":
            run["velocity_convention"] = "optical, c dlambda / lambda0"
        if self.stage == "xray":
            run["conventions"] = _XSPEC
        table: dict[str, dict[str, Any]] = {"run": run, "engine": {}, self.stage: {}}
        for option in OPTIONS:
            if option.section not in table:
                continue
            value = getattr(getattr(self, option.section), option.name)
            if value is not None and value != ():
                table[option.section][option.name] = option.write(value)
            elif option.name == "ratios" and value == ():
                table["optical"]["ratios"] = "free"
        if self.stage == "optical" and self.optical.custom_lines:
            table["lines"] = dict(self.optical.custom_lines)
        return table

    def choices(self) -> dict[str, Any]:
        """Give by name what changes the table of results: not where the input lies, nor speed."""
        table = self.table()
        chosen = {"stage": self.stage, "version": self.version}
        chosen |= {f"engine.{name}": table["engine"][name] for name in _TABLE_KEYS}
        chosen |= {f"{self.stage}.{name}": value for name, value in table[self.stage].items()}
        chosen |= {f"lines.{name}": value for name, value in table.get("lines", {}).items()}
        # Files are known by their content, which the input's identity holds.
        for name in _FILES:
            chosen.pop(name, None)
        if self.stage == "xray":
            if self.xray.plasma == "shipped":
                chosen["xray.plasma"] = "shipped"
            if self.xray.stack_by not in ("obs", "group"):
                chosen["xray.stack_by"] = "a table"
        return chosen

    def digest(self) -> str:
        """SHA-256 of `choices`, in hexadecimal."""
        text = json.dumps(self.choices(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_toml(self) -> str:
        """Write ``run.toml``."""
        return tomli_w.dumps(self.table())
