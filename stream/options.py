"""One declaration per option: it gives the flag, the TOML key, the help, the parser and the check.

Values come as text from flags and ``--set`` and as TOML values from files; the same parser reads
both, so ``--velocity-range -500,500`` and ``velocity_range = [-500, 500]`` mean the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import values


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command.

    Parameters
    ----------
    section : {"engine", "optical", "xray"}
        Table of the TOML file, and the part of the configuration it belongs to.
    name : str
        TOML key; the flag is the same with hyphens.
    parse : callable
        Turns text or a TOML value into the option's own type; raises ValueError with the rest of
        a sentence that begins with the value.
    metavar, help : str
        As ``--help`` prints them.
    write : callable
        Turns a value back into what TOML can hold.
    flag : bool
        False where only files and ``--set`` can give it.
    switch : bool
        True where the flag alone means true.
    """

    section: str
    name: str
    parse: Callable[[Any], Any]
    metavar: str
    help: str
    write: Callable[[Any], Any] = lambda value: value
    flag: bool = True
    switch: bool = False


OPTIONS: tuple[Option, ...] = (
    Option("engine", "device", values.device, "DEV", "auto, cpu or cuda[:i,j] (default auto)"),
    Option(
        "engine", "threads", values.whole(0), "N", "threads that fit; 0 for one per core (default)"
    ),
    Option(
        "engine",
        "memory",
        values.parse_bytes,
        "SIZE",
        "bound of the whole process (default 2GiB)",
        write=values.format_bytes,
    ),
    Option("engine", "batch", values.whole(0), "N", "spaxels per batch; 0 follows from --memory"),
    Option("engine", "seed", values.whole(0), "N", "seed of every random draw (default 0)"),
    Option(
        "optical",
        "lines",
        values.names,
        "A,B,...",
        "lines to fit (default: the strong ones in the band)",
        write=list,
    ),
    Option(
        "optical",
        "redshift",
        values.redshift,
        "Z",
        "of the target (default: the cube's own, else 0)",
    ),
    Option(
        "optical",
        "velocity_range",
        values.interval("-500,500"),
        "LO,HI",
        "km/s about the redshift (default -1000,1000)",
        write=list,
    ),
    Option(
        "optical",
        "broadening_range",
        values.interval("1,300", floor=0.0),
        "LO,HI",
        "km/s, Gaussian standard deviation (default 1,500)",
        write=list,
    ),
    Option(
        "optical",
        "ils",
        values.word("auto", "gaussian", "sinc", "sincgauss"),
        "SHAPE",
        "auto, gaussian, sinc or sincgauss (default auto)",
    ),
    Option(
        "optical",
        "resolution",
        values.resolution,
        "R",
        "resolving power of a FITS cube, or none: broadening as observed (default: the cube's own)",
    ),
    Option(
        "optical",
        "window",
        values.interval("15000,15400", floor=0.0),
        "LO,HI",
        "channels to fit, in cm-1 or nm as the cube's axis (default: around the lines)",
        write=list,
    ),
    Option(
        "optical",
        "groups",
        values.groups,
        "",
        "lines that share velocity and broadening (see --tie)",
        write=lambda groups: [list(group) for group in groups],
        flag=False,
    ),
    Option(
        "optical",
        "ratios",
        values.ratios,
        "",
        "fixed flux ratios (see --tie)",
        write=values.write_ratios,
        flag=False,
    ),
    Option(
        "optical",
        "continuum_degree",
        values.whole(0),
        "N",
        "of the polynomial continuum (default 1)",
    ),
    Option(
        "optical",
        "components",
        values.components,
        "N|auto",
        "kinematic components of all lines, 1 to 4; auto: none, one or two, by their evidence "
        "(default 1)",
    ),
    Option(
        "optical",
        "noise",
        values.word("auto", "variance", "band", "imaginary", "residual"),
        "FROM",
        "auto, variance, band (channels without light), imaginary or residual (default auto)",
    ),
    Option(
        "optical",
        "no_mdn",
        values.switch,
        "",
        "do without the mixture density network: no mdn_* columns, starts from the scan alone",
        switch=True,
    ),
    Option(
        "optical",
        "bayes",
        values.switch,
        "",
        "integrate the posterior of every spectrum: post_* columns and log_evidence",
        switch=True,
    ),
    Option(
        "optical",
        "prior",
        values.word("mdn", "flat", "neighbours"),
        "FROM",
        "with --bayes: mdn, the network's density, widened; neighbours, its densities of the "
        "adjacent spaxels; or flat over the ranges (default mdn; flat with --no-mdn)",
    ),
    Option(
        "optical",
        "prior_width",
        values.above_zero,
        "K",
        "factor on the standard deviations of the network's density (default 10; 1 counts the "
        "data twice)",
    ),
    Option(
        "optical",
        "positive",
        values.switch,
        "",
        "with --bayes: no amplitude is negative (default: of either sign)",
        switch=True,
    ),
    Option(
        "optical",
        "refine",
        values.switch,
        "",
        "sample again by nested sampling (dynesty) what importance sampling does not settle",
        switch=True,
    ),
    Option(
        "optical",
        "region",
        values.region,
        "X0:X1,Y0:Y1",
        "rectangle to fit, 0-based, ends excluded",
        write=str,
    ),
    Option(
        "optical", "mask", values.path, "FITS|DS9", "spaxels to fit: nonzero pixels, or DS9 regions"
    ),
    Option("optical", "bin", values.whole(1), "N", "average N x N spaxels (default 1)"),
    Option(
        "xray",
        "method",
        values.word("rim", "map", "richardson-lucy", "tikhonov", "isis", "inverse"),
        "NAME",
        "rim, map, richardson-lucy, tikhonov, isis or inverse (default rim)",
    ),
    Option(
        "xray",
        "arf",
        values.path_or("none"),
        "FILE|none",
        "effective area of all observations (default: as their headers say)",
    ),
    Option(
        "xray",
        "rmf",
        values.path_or("none"),
        "FILE|none",
        "redistribution of all observations (default: as their headers say)",
    ),
    Option(
        "xray",
        "background",
        values.path_or("none"),
        "FILE|none",
        "background of all observations (default: as their headers say)",
    ),
    Option(
        "xray",
        "no_fit",
        values.switch,
        "",
        "stop after the deconvolution: no source model is fitted",
        switch=True,
    ),
    Option(
        "xray",
        "model",
        values.word(*values.SOURCE_MODELS),
        "NAME",
        f"source fitted to the counts: {', '.join(values.SOURCE_MODELS)} (default apec1)",
    ),
    Option(
        "xray",
        "stack_by",
        values.stack_by,
        "obs|group|FILE",
        "what is fitted together: each observation alone (default), those of one OBJECT, or as a "
        "table of obs, group and, if known, redshift and nh says",
    ),
    Option(
        "xray",
        "norms",
        values.word("tied", "free"),
        "tied|free",
        "of what is fitted together: tied, one norm (default), or free, a factor for each member "
        "after the first, as the constant of XSPEC",
    ),
    Option("xray", "redshift", values.redshift, "Z", "of all sources (default 0)"),
    Option(
        "xray",
        "nh",
        values.above_zero,
        "N",
        "Galactic column, 1e22 cm-2, known to a tenth (default: fitted freely)",
    ),
    Option(
        "xray",
        "plasma",
        values.path_or("shipped"),
        "FILE",
        "additive XSPEC table model of kT and abundance (default: the table that is shipped)",
    ),
    Option(
        "xray",
        "bayes",
        values.switch,
        "",
        "sample the posterior of every source: post_* columns and log_evidence",
        switch=True,
    ),
    Option(
        "xray",
        "prior",
        values.word("mdn", "flat"),
        "FROM",
        "with --bayes: flat over broad ranges, or mdn, the network's density, widened (default "
        "flat)",
    ),
    Option(
        "xray",
        "prior_width",
        values.above_zero,
        "K",
        "factor on the standard deviations of the network's density (default 10)",
    ),
    Option(
        "xray",
        "against",
        values.word(*values.SOURCE_MODELS),
        "NAME",
        "with --bayes: another model, whose evidence is compared: log_bayes_factor",
    ),
    Option(
        "xray",
        "refine",
        values.switch,
        "",
        "with --bayes: nested sampling where k_hat is above 0.7 (needs dynesty)",
        switch=True,
    ),
)
