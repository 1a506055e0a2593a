"""Where the lines stand in every bin of velocity, and how the functions of two lines overlap there.

A *frame* is one axis with one class of line widths. Its bins cover all velocities, half a channel
apart; in a bin each line has its place (`basis.py`). For lines j and k at their places

    B_jk = sum_i P_j(i)^T P_k(i)

over the channels of the window, with the continuum projected out of the P: a Gram matrix that holds
whatever the window cuts off. Lines of one kinematic group share a bin, those of two groups may be
up to `SPAN` bins apart.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .axis import SPEED_OF_LIGHT
from .basis import PHASES, RANK, Basis, Single
from .emission import Continuum, Emission

Array = NDArray[np.float64]

SPAN: Final = 3
MARGIN: Final = 40  # channels outside the window where a line may stand
_SPACING = 0.5  # channels between bins, of the line where they are widest apart
_NEAR = 12.0  # channels between lines that bend each other's chi2


@dataclass(frozen=True, slots=True)
class Frame:
    """Places and overlaps of a basis on one axis.

    Parameters
    ----------
    basis : Basis
    continuum : ndarray, shape (term, channel)
        Orthonormal rows that span it.
    places : ndarray of int64, shape (bin, line)
        In 1 / PHASES channels from the first.
    ready : ndarray of bool, shape (bin,)
        False where a line stands too far outside the window.
    blocks : ndarray of float32, shape (bin, slot, rank, rank)
        B_jk of the bin of line j, as [function of k, function of j].
    slot : ndarray of int64, shape (line, line)
        First slot of a pair: of two groups it has one for each distance of their bins.
    near : ndarray of bool, shape (line, line)
    axis : tuple
        First coordinate and step, first velocity and step of the bins, SPAN.
    """

    basis: Basis
    continuum: Array
    places: NDArray[np.int64]
    ready: NDArray[np.bool_]
    blocks: Single
    slot: NDArray[np.int64]
    near: NDArray[np.bool_]
    axis: tuple[float, float, float, float, int]

    @property
    def nbytes(self) -> int:
        """Memory taken, the basis left out."""
        return self.blocks.nbytes + self.continuum.nbytes + self.places.nbytes


def reach(channels: int) -> int:
    """Channels on either side of a line that a basis must have for a window."""
    return channels + MARGIN + 16


def slots(line_group: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """First slot of every pair of lines, and slots in all."""
    same = line_group[:, None] == line_group[None, :]
    sizes = np.where(same, 1, 2 * SPAN + 1)
    ends = np.cumsum(sizes.ravel()).reshape(sizes.shape)
    return ends - sizes, int(ends[-1, -1])


def velocity_bins(
    emission: Emission, coordinate: Array, velocity: tuple[float, float]
) -> tuple[float, float, int]:
    """First velocity, spacing and number of the bins that cover a range [km/s]."""
    step = float(coordinate[1] - coordinate[0])
    spacing = _SPACING * SPEED_OF_LIGHT * step / float(emission.rest.max())
    low = velocity[0] - spacing
    return low, spacing, int(np.ceil((velocity[1] - low) / spacing)) + 2


def build_frame(
    basis: Basis,
    emission: Emission,
    continuum: Continuum,
    coordinate: Array,
    velocity: tuple[float, float],
) -> Frame:
    """Place the lines in every bin and multiply their functions.

    Parameters
    ----------
    basis : Basis
        Wide enough for the window, see `reach`.
    emission, continuum : Emission, Continuum
        The model.
    coordinate : ndarray, shape (channel,)
        Evenly spaced axis.
    velocity : (low, high)
        Velocities on this axis [km/s].

    Returns
    -------
    Frame
    """
    channels, step = coordinate.size, float(coordinate[1] - coordinate[0])
    low, spacing, count = velocity_bins(emission, coordinate, velocity)
    stretch = 1.0 + (low + spacing * np.arange(count))[:, None] / SPEED_OF_LIGHT
    centre = emission.rest / stretch if emission.wavenumber else emission.rest * stretch
    position = (centre - coordinate[0]) / step
    places = np.rint(PHASES * position).astype(np.int64)
    ready = ((position > -MARGIN) & (position < channels + MARGIN)).all(axis=1)
    rows = np.linalg.qr(continuum.rows(coordinate).T)[0].T
    group = emission.line_group
    slot, total = slots(group)
    blocks = np.zeros((count, total, RANK, RANK), dtype=np.float32)
    functions: dict[int, Single] = {}
    for index in range(count):
        for at in range(max(0, index - SPAN), min(count, index + SPAN + 1)):
            if ready[at] and at not in functions:
                functions[at] = _functions(basis, places[at], channels, rows)
        functions.pop(index - SPAN - 1, None)
        if ready[index]:
            _fill(blocks[index], functions, index, slot, group)
    middle = position[np.argmin(np.abs(stretch[:, 0] - 1.0))]
    return Frame(
        basis=basis,
        continuum=np.ascontiguousarray(rows),
        places=places,
        ready=ready,
        blocks=blocks,
        slot=slot,
        near=np.abs(middle[:, None] - middle[None, :]) < _NEAR,
        axis=(float(coordinate[0]), step, low, spacing, SPAN),
    )


def _functions(basis: Basis, places: NDArray[np.int64], channels: int, rows: Array) -> Single:
    """Functions of every line in a bin less their continuum, shape (channel, line * rank)."""
    whole, phase = np.divmod(places, PHASES)
    start = basis.half - whole
    stacked = np.concatenate(
        [basis.vectors[p, s : s + channels] for p, s in zip(phase, start, strict=True)], axis=1
    )
    return stacked - (rows.T @ (rows @ stacked)).astype(np.float32)


def _fill(
    blocks: Single,
    functions: dict[int, Single],
    index: int,
    slot: NDArray[np.int64],
    group: NDArray[np.int64],
) -> None:
    """Fill the overlaps of one bin."""
    lines, own = group.size, functions[index]
    several = bool((group != group[0]).any())
    for apart in range(-SPAN, SPAN + 1) if several else (0,):
        if index + apart not in functions:
            continue
        gram = (functions[index + apart].T @ own).reshape(lines, RANK, lines, RANK)
        for j in range(lines):
            for k in range(lines):
                if group[j] != group[k]:
                    blocks[slot[j, k] + apart + SPAN] = gram[k, :, j]
                elif apart == 0:
                    blocks[slot[j, k]] = gram[k, :, j]
