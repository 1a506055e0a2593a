"""How `--memory` becomes batches in flight.

With b spaxels a batch, t threads and a queue of d, at most t + d + 1 batches are held and one more
is being converted while it is read; the open part holds 16 batches of rows, twice as they grow. So

    peak = base + b [(t + d + 2) batch + t work + (t + d + 1 + 32) row]

with the cost per spaxel of a batch, of a fit's arrays and of a row; base is what the process and
the reader take without batches. The size of a batch follows from the bound and the cube alone,
never from the threads or from what the process happens to hold, so that the same command gives the
same batches on any machine.
"""

from dataclasses import dataclass

from ..io.errors import InputError
from .values import format_bytes

# What malloc and the interpreter take beyond what is counted.
_SLACK = 0.9
_LARGEST, _SMALLEST = 4096, 64
# One batch takes a dozenth of the bound: a few thousand spectra, so that classes are well filled.
_SHARE = 12
# The view, the table's writer and the threads themselves, loaded after the base is measured.
_LATER = 48 * 2**20
# A run of fewer batches would leave threads idle and show no progress.
_FEWEST_BATCHES = 16
_PART_ROWS = 32


@dataclass(frozen=True, slots=True)
class Cost:
    """Memory by spaxel and in all [bytes].

    Parameters
    ----------
    batch, work, row : int
        One spaxel in a batch, in the arrays of a fit, in the table.
    held : int
        What the reader keeps beside the batches.
    """

    batch: int
    work: int
    row: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """What fits: consumers, batches waiting, and the expected peak [bytes]."""

    threads: int
    depth: int
    peak: int


def choose_batch(limit: int, cost: Cost, spaxels: int) -> int:
    """Choose the spaxels of a batch: a power of two from the bound and the size of the cube.

    Parameters
    ----------
    limit : int
        Bound of the process [bytes].
    cost : Cost
    spaxels : int
        To be fitted in all.
    """
    most = min(limit / _SHARE / (cost.batch + cost.work), spaxels / _FEWEST_BATCHES, _LARGEST)
    batch = _SMALLEST
    while 2 * batch <= most:
        batch *= 2
    return batch


def plan_memory(
    limit: int, base: int, cost: Cost, *, batch: int, threads: int, rows: str = "spaxels"
) -> Budget:
    """Fit threads and queue into the bound: a shorter queue first, then fewer threads.

    Parameters
    ----------
    limit : int
        Bound of the process [bytes].
    base : int
        What the process takes before the first batch [bytes].
    cost : Cost
    batch : int
        Spaxels of the largest batch.
    threads : int
        Wanted.
    rows : str
        What a batch is made of, for the message.

    Raises
    ------
    InputError
        If not even one thread fits.
    """
    floor = base + _LATER + cost.held

    def peak(threads: int, depth: int) -> int:
        batches = cost.batch * (threads + depth + 2) + cost.work * threads
        rows = cost.row * (threads + depth + 1 + _PART_ROWS)
        return floor + batch * (batches + rows)

    choices = [(threads, depth) for depth in range(threads + 1, 0, -1)]
    choices += [(fewer, 1) for fewer in range(threads - 1, 0, -1)]
    for found, depth in choices:
        if peak(found, depth) <= _SLACK * limit:
            return Budget(found, depth, peak(found, depth))
    least = peak(1, 1)
    raise InputError(
        f"--memory {format_bytes(limit)} is too small: the program takes "
        f"{format_bytes(floor)} and batches of {batch} {rows} "
        f"{format_bytes(least - floor)} more; give at least "
        f"{format_bytes(least / _SLACK + 2**20)}, or a smaller --batch"
    )
