"""A picture of what cubes of several sizes take: wall time, work and reading alone."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from ..stream.sheet import FAINT, INK, blank_page, save
from .bench_stream import Pass

_WALL, _WORK, _CAT = "#2f5f9e", "#c2703d", FAINT


def draw_cost(passes: Sequence[Pass], path: Path) -> None:
    """Draw seconds against spectra, both logarithmic, medians where a size was run more than once.

    Parameters
    ----------
    passes : sequence of Pass
    path : Path
        PNG to write.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    page = blank_page(6.4, 4.3)
    axes = page.add_axes((0.105, 0.125, 0.87, 0.7))
    sizes = sorted({one.spectra for one in passes})
    alike = [[one for one in passes if one.spectra == size] for size in sizes]
    wall = [median(one.wall_s for one in same) for same in alike]
    work = [median(one.core_s for one in same) for same in alike]
    fits = [median(one.wall_s - one.start_s for one in same) for same in alike]
    cat = [median(one.cat_s for one in same) for same in alike]
    ends = [0.7 * sizes[0], 1.4 * sizes[-1]]
    rate = sizes[-1] / wall[-1]
    axes.plot(
        ends,
        [end / rate for end in ends],
        color=INK,
        linewidth=0.8,
        linestyle=(0, (5, 4)),
        label=f"in proportion to the largest: {rate:,.0f} spectra/s",
    )
    axes.plot(sizes, work, "s", color=_WORK, markersize=5, label="work of all cores")
    axes.plot(sizes, wall, "o", color=_WALL, markersize=6.5, label="whole command")
    axes.plot(
        sizes, fits, "o", color=_WALL, mfc="none", markersize=6.5, label="first batch to last row"
    )
    axes.plot(sizes, cat, "^", color=_CAT, markersize=5, label="reading alone (cat)")
    axes.set(xscale="log", yscale="log", xlim=ends)
    _dress(axes, sizes)
    save(page, path)


def _dress(axes: Axes, sizes: Sequence[int]) -> None:
    """Label the axes; spectra stand where cubes were fitted."""
    axes.set_xlabel("spectra of 842 channels", fontsize=9, color=INK)
    axes.set_ylabel("seconds", fontsize=9, color=INK)
    axes.set_xticks(list(sizes), [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(which="both", labelsize=8, labelcolor=INK, color=FAINT, length=3)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    axes.legend(
        fontsize=8,
        frameon=False,
        labelcolor=INK,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1),
        ncols=2,
    )
