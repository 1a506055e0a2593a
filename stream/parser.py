"""The words of the command line: commands and flags, and nothing of what they do."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path

from .options import OPTIONS, Option

_MACHINE = ("device", "threads", "memory")
"""Options that may differ when a run is resumed."""

AddArguments = Callable[[argparse.ArgumentParser], None]


def build_parser(tools: Mapping[str, AddArguments]) -> argparse.ArgumentParser:
    """Declare the commands; the one that is called stands in ``command`` by its name.

    Parameters
    ----------
    tools : mapping
        Kinds of ``simulate`` and what declares their options.
    """
    parser = argparse.ArgumentParser(
        prog="stream-fit",
        description="Fit every spectrum of a telescope's cube, live, resumable, in flat memory.",
        allow_abbrev=False,
    )
    version = f"stream-fit {distribution_version('stream-fit')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_optical(commands)
    _add_xray(commands)
    _add_resume(commands)
    _add_readers(commands)
    simulate = _add(commands, "simulate", "write a simulated observation with its truth")
    kinds = simulate.add_subparsers(title="kinds", metavar="KIND", required=True)
    for kind, add_arguments in tools.items():
        tool = _add(kinds, kind, f"simulated {kind} data in a documented format")
        add_arguments(tool)
        tool.set_defaults(command="simulate", kind=kind)
    return parser


def join_negative(words: Sequence[str]) -> list[str]:
    """Join a flag with the negative number after it, which argparse would take for a flag.

    ``--velocity-range -500,500`` becomes ``--velocity-range=-500,500``.
    """
    joined: list[str] = []
    for word in words:
        after_flag = joined and re.fullmatch(r"--[a-z][a-z-]*", joined[-1])
        if after_flag and re.match(r"-[\d.]", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _add(commands: argparse._SubParsersAction, name: str, text: str) -> argparse.ArgumentParser:
    """Add a command."""
    return commands.add_parser(name, help=text, description=text, allow_abbrev=False)


def _add_watching(parser: argparse.ArgumentParser) -> None:
    """Add the options of everything that runs."""
    parser.add_argument("--no-tui", action="store_true", help="plain lines, no live view")
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="copy the log there too")


def _add_option_flags(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Add flags of declared options; their values stay text until the configuration is built."""
    for option in options:
        if option.switch:
            parser.add_argument(
                f"--{option.name.replace('_', '-')}",
                dest=option.name,
                action="store_const",
                const="true",
                help=option.help,
                default=argparse.SUPPRESS,
            )
        elif option.flag:
            parser.add_argument(
                f"--{option.name.replace('_', '-')}",
                dest=option.name,
                metavar=option.metavar,
                help=option.help,
                default=argparse.SUPPRESS,
            )


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "demo", "fit a small simulated observation, live, and draw it")
    parser.add_argument(
        "kind",
        nargs="?",
        choices=("cube", "xray"),
        default="cube",
        help="a galaxy as SITELLE sees it (default), or X-ray spectra",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: stream-fit-demo")
    _add_watching(parser)
    parser.set_defaults(command="demo")


def _add_optical(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "optical", "fit every spaxel of a cube")
    parser.add_argument("cube", metavar="CUBE", help="SITELLE HDF5 or FITS cube")
    _add_starting(parser)
    parser.add_argument(
        "--tie",
        type=Path,
        metavar="FILE.toml",
        help="groups of lines that share velocity and broadening, and fixed ratios",
    )
    _add_option_flags(parser, _options("engine", "optical"))
    parser.set_defaults(command="optical")


def _add_xray(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "xray", "deconvolve X-ray spectra, fold them again, and fit them")
    parser.add_argument(
        "spectra", metavar="PHA", nargs="+", help="PHA files of type I or II, plain or gzipped"
    )
    _add_starting(parser)
    _add_option_flags(parser, _options("engine", "xray"))
    parser.set_defaults(command="xray")


def _options(*sections: str) -> list[Option]:
    """Give the options of some sections."""
    return [option for option in OPTIONS if option.section in sections]


def _add_starting(parser: argparse.ArgumentParser) -> None:
    """Add the options of everything that begins a run."""
    parser.add_argument("-o", "--output", type=Path, metavar="RUN", help="directory of the run")
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.toml",
        help="options from a file; repeatable, later ones win",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=VALUE",
        dest="sets",
        help="one option by its name in a file; repeatable",
    )
    parser.add_argument("--dry-run", action="store_true", help="show options and plan, fit nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that is there")
    _add_watching(parser)


def _add_resume(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "resume", "go on with a run where it stopped")
    parser.add_argument("run", type=Path, metavar="RUN")
    _add_watching(parser)
    _add_option_flags(parser, [one for one in OPTIONS if one.name in _MACHINE])
    parser.set_defaults(command="resume")


def _add_explore(commands: argparse._SubParsersAction) -> None:
    text = "sample the whole posterior of some spaxels: chains and a corner plot"
    parser = _add(commands, "explore", text)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("place", nargs="*", metavar="X Y", help="0-based column and row of a map")
    parser.add_argument("--region", metavar="X0:X1,Y0:Y1", help="many spaxels, each by itself")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sampler", choices=("dynesty", "emcee"), default="dynesty")
    parser.add_argument(
        "--prior",
        default="",
        metavar="A,B",
        help="mdn, flat, neighbours, or several, drawn over each other (default: the run's own)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")
    parser.set_defaults(command="explore")


def _add_readers(commands: argparse._SubParsersAction) -> None:
    """Add the commands that read a run or a cube."""
    parser = _add(commands, "status", "say where a run stands, also while it runs")
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--json", action="store_true", help="as JSON on standard output")
    parser.set_defaults(command="status")
    parser = _add(commands, "maps", "write FITS maps and PNG quick looks, or FITS spectra")
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--where", metavar="EXPR", help="keep rows where this holds: snr > 5")
    parser.add_argument(
        "--derive", action="append", default=[], metavar="NAME=EXPR", help="a map of one's own"
    )
    parser.set_defaults(command="maps")
    parser = _add(commands, "inspect", "draw data, model and residual of one spaxel or observation")
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument(
        "place",
        nargs="+",
        metavar=("X|OBS", "Y"),
        help="0-based column and row of a map, or the name of an observation",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="PNG")
    parser.set_defaults(command="inspect")
    _add_explore(commands)
    parser = _add(commands, "validate", "say what the reader finds in a cube, and what is wrong")
    parser.add_argument("cube", metavar="PATH")
    for option in ("arf", "rmf", "background"):
        text = f"{option} of an X-ray spectrum, where its header does not say"
        parser.add_argument(f"--{option}", metavar="FILE|none", help=text)
    parser.set_defaults(command="validate")
