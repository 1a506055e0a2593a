"""Cut a rectangle of spaxels into batches in the order in which the storage reads best.

Storage prefers whole *tiles* (a column of a contiguous cube, a stack of chunks). Tiles smaller
than a batch are joined, along y first because y is the faster axis of the file; tiles larger
than a batch are cut, and their pieces follow each other so that a reader may keep the tile at
hand. Tiles are counted from the corner of their panel, bins from pixel 0 of the cube.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .records import Area


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of the cube that is stored in one piece.

    Parameters
    ----------
    area : Area
    tile : (int, int)
        Spaxels along x and y that its storage reads best together: whole chunks, counted from
        the corner of the panel.
    """

    area: Area
    tile: tuple[int, int]


def overlap(one: Area, other: Area) -> Area | None:
    """Give the rectangle two areas share, None if they share nothing."""
    x0, x1 = max(one.x0, other.x0), min(one.x1, other.x1)
    y0, y1 = max(one.y0, other.y0), min(one.y1, other.y1)
    return Area(x0, x1, y0, y1) if x0 < x1 and y0 < y1 else None


def cut(region: Area, panel: Panel, *, batch: int, grain: int = 1) -> Iterator[Area]:
    """Cut the part of `region` that lies in `panel` into batches.

    Parameters
    ----------
    region : Area
        What is asked for.
    panel : Panel
    batch : int
        Spaxels a batch holds at most; one bin of `grain` x `grain` is never cut.
    grain : int
        Side of a bin; every cut falls on a multiple of it.

    Yields
    ------
    Area
        In the order of the file.
    """
    inside = overlap(region, panel.area)
    if inside is None:
        return
    step = _tile_on_grain(panel, grain)
    origin = (panel.area.x0, panel.area.y0) if grain == 1 else (0, 0)
    if step[0] * step[1] <= batch:
        yield from _grid(inside, _join(step, panel.area, batch), origin)
        return
    for whole in _grid(inside, step, origin):
        yield from _grid(whole, _split(step, batch, grain), (whole.x0, whole.y0))


def _tile_on_grain(panel: Panel, grain: int) -> tuple[int, int]:
    """Stretch the tile to whole bins: the common multiple where the panel has room for it."""
    sides = []
    for side, length in zip(panel.tile, panel.area.shape, strict=True):
        common = math.lcm(side, grain)
        sides.append(common if common <= length else math.ceil(min(side, length) / grain) * grain)
    return sides[0], sides[1]


def _join(step: tuple[int, int], panel: Area, batch: int) -> tuple[int, int]:
    """Join tiles into about a batch, along y first; columns that fit are joined along x too."""
    rows = panel.shape[1]
    if step[0] * rows <= batch:
        return batch // (step[0] * rows) * step[0], math.ceil(rows / step[1]) * step[1]
    return step[0], batch // (step[0] * step[1]) * step[1]


def _split(step: tuple[int, int], batch: int, grain: int) -> tuple[int, int]:
    """Cut a tile into pieces no larger than a batch: whole columns where they fit."""
    pieces = math.ceil(step[1] * grain / max(batch, grain * grain))
    height = math.ceil(step[1] / pieces / grain) * grain
    if height * grain > batch:
        height = max(grain, height - grain)
    width = max(grain, batch // height // grain * grain)
    return min(width, step[0]), height


def _grid(inside: Area, step: tuple[int, int], origin: tuple[int, int]) -> Iterator[Area]:
    """Cut `inside` where the grid of `step` from `origin` cuts it, x slow and y fast."""
    x_first = origin[0] + (inside.x0 - origin[0]) // step[0] * step[0]
    y_first = origin[1] + (inside.y0 - origin[1]) // step[1] * step[1]
    for x0 in range(x_first, inside.x1, step[0]):
        for y0 in range(y_first, inside.y1, step[1]):
            yield Area(
                max(x0, inside.x0),
                min(x0 + step[0], inside.x1),
                max(y0, inside.y0),
                min(y0 + step[1], inside.y1),
            )
