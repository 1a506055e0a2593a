"""Fit real cubes and spectra and print the results beside what others published on them.

``python -m streamfit.tools.real_data DATA_DIR`` prints a table, ``--markdown`` in Markdown,
``--only NAME`` for some of the data, ``--keep DIR`` leaves the run directories there. It exits with
1 if an agreement that was asked for is missed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from rich.console import Console

from ..io.errors import InputError, StreamFitError
from .real_cubes import a478, ngc3081, ngc7009
from .real_sami import sami
from .real_spectra import m31, m57
from .side_by_side import Comparison, markdown, reasons, wide_table

COMPARISONS: Mapping[str, Callable[[Path, Path], list[Comparison]]] = MappingProxyType(
    {"a478": a478, "ngc3081": ngc3081, "sami": sami, "m57": m57, "m31": m31, "ngc7009": ngc7009}
)


def compare(data: Path, runs: Path, names: Sequence[str] = ()) -> list[Comparison]:
    """Fit the data and compare.

    Parameters
    ----------
    data : Path
        Folder with ``ifu`` and ``sitelle``.
    runs : Path
        Where the run directories go.
    names : sequence of str
        Of `COMPARISONS`; empty for all.

    Raises
    ------
    InputError
        If the folder does not hold the data, or a cube cannot be used.
    """
    for part in ("ifu", "sitelle"):
        if not (data / part).is_dir():
            raise InputError(f"{data}: has no folder {part}; give the folder of the real data")
    return [
        comparison for name in names or COMPARISONS for comparison in COMPARISONS[name](data, runs)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program: ``python -m streamfit.tools.real_data DATA_DIR``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the real data")
    parser.add_argument("--only", action="append", choices=list(COMPARISONS), default=[])
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the run directories there")
    arguments = parser.parse_args(argv)
    with ExitStack() as stack:
        runs = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            found = compare(arguments.data, runs, arguments.only)
        except (StreamFitError, FileNotFoundError) as error:
            print(error, file=sys.stderr)
            return 2
    if arguments.markdown:
        print(markdown(found))
    else:
        width = None if sys.stdout.isatty() else 150
        console = Console(markup=False, highlight=False, width=width)
        console.print(wide_table(found), *reasons(found), sep="\n")
    return 0 if all(comparison.holds for comparison in found) else 1


if __name__ == "__main__":
    sys.exit(main())
