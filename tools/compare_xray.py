"""Print how an X-ray run agrees with the truth of a simulation.

``python -m streamfit.tools.compare_xray RUN TRUTH`` prints the tables of `agreement_xray` and, of a
run with fits, `agreement_fit`; ``--picture PNG`` draws spectra beside their truth.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table

from ..io.errors import StreamFitError
from ..io.table import part_files, read_table
from ..stream.sheet import FAINT, INK, blank_page, save
from .agreement_fit import fit_agreement, fit_table
from .agreement_xray import RANGE, Agreement, Pairs, agreement, pair

_SHOWN = 4
_WIDE = 1.959964  # standard deviations of a band of 95 %


def table(found: Sequence[Agreement]) -> RenderableType:
    """Set the agreement out for a terminal."""
    title = f"Deconvolved against true, {RANGE[0]} to {RANGE[1]} keV"
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("counts", no_wrap=True)
    for heading in ("n", "L1", "smooth", "in 68 %", "in 95 %", "|z| < 2", "bad"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in found:
        shares = (row.within_68, row.within_95, row.refolded, row.rejected)
        drawn.add_row(
            _range(row.counts),
            f"{row.n}",
            f"{row.l1:.3f}",
            f"{row.smoothed_l1:.3f}",
            *("—" if np.isnan(share) else f"{share:.1%}" for share in shares),
        )
    return drawn


def draw(pairs: Pairs, path: Path) -> None:
    """Draw some spectra beside their truth, from few counts to many.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    order = np.argsort(pairs.counts)
    shown = order[np.linspace(0, order.size - 1, min(_SHOWN, order.size)).astype(int)]
    figure = blank_page(10.4, 6.6)
    for number, row in enumerate(shown):
        left, bottom = 0.075 + 0.49 * (number % 2), 0.575 - 0.475 * (number // 2)
        axes = figure.add_axes((left, bottom, 0.41, 0.36))
        _draw_one(axes, pairs, int(row))
    save(figure, path)


def report(run: Path, truth: Path, picture: Path) -> RenderableType:
    """Hold a run against its truth, and draw both.

    Parameters
    ----------
    run : Path
        Run directory.
    truth : Path
        Truth table of its observations.
    picture : Path
        PNG to write.

    Returns
    -------
    rich renderable
    """
    pairs = pair(read_table(run / "deconvolve"), pq.read_table(truth))
    draw(pairs, picture)
    return Group(table(agreement(pairs)), *fits(run, truth))


def fits(run: Path, truth: Path) -> list[Table]:
    """Hold the second stage of a run against its truth; nothing where it has none to hold."""
    if not part_files(run / "fit"):
        return []
    fitted = read_table(run / "fit")
    found = fit_agreement(fitted, pq.read_table(truth))
    return [fit_table(found, fitted["model"][0].as_py())] if found else []


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program: ``python -m streamfit.tools.compare_xray RUN TRUTH``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("truth", type=Path, help="truth table of the simulated observations")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw spectra and truth")
    arguments = parser.parse_args(argv)
    try:
        pairs = pair(read_table(arguments.run / "deconvolve"), pq.read_table(arguments.truth))
    except (StreamFitError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.picture:
        draw(pairs, arguments.picture)
    Console().print(table(agreement(pairs)), *fits(arguments.run, arguments.truth))
    return 0


def _draw_one(axes: Axes, pairs: Pairs, row: int) -> None:
    """Draw one spectrum with its bands and its truth."""
    edges, flux = pairs.edges, np.exp(pairs.log_flux[row])
    sigma = pairs.sigma[row]
    if np.isfinite(sigma).any():
        for reach, colour in ((_WIDE, "#f3d3d7"), (1.0, "#e5a3ab")):
            low, high = (flux * np.exp(sign * reach * sigma) for sign in (-1, 1))
            axes.stairs(high, edges, baseline=low, fill=True, color=colour)
    truth = np.exp(pairs.truth[row])
    axes.stairs(truth, edges, baseline=None, color="#4a5468", lw=1.0, label="true")
    axes.stairs(flux, edges, baseline=None, color="#d1495b", lw=1.3, label="deconvolved")
    top = float(np.nanmax(truth))
    axes.set(xscale="log", yscale="log", xlim=(edges[0], edges[-1]))
    axes.set_ylim(max(float(np.nanmin(truth)) * 0.3, 1e-5 * top), 3.0 * top)
    axes.set_title(f"{pairs.names[row]}, {pairs.counts[row]:.0f} counts", fontsize=9, color=INK)
    axes.set_xlabel("energy [keV]", fontsize=8, color=INK)
    axes.set_ylabel("photons cm⁻² s⁻¹ keV⁻¹", fontsize=8, color=INK)
    axes.set_xticks((0.5, 1.0, 2.0, 5.0))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", labelsize=7.5, labelcolor=INK, color=FAINT)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    axes.legend(fontsize=7.5, loc="lower left", edgecolor="none", labelcolor=INK)


def _range(counts: tuple[float, float]) -> str:
    """Write a range of counts."""
    low, high = counts
    if np.isinf(high):
        return f"{low:,.0f} and more" if low else "all"
    return f"{low:,.0f} to {high:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
