"""Small linear systems in the graph of `build_fit_graph.py`, a stack of matrices at a time.

A symmetric positive matrix is inverted by sweeping its pivots one after the other (Goodnight 1979,
Am. Stat. 33, 149). With e the unit vector of a pivot p and u the pivot's column less e, one sweep
is A - u u^T / p - 2 e e^T, and after all of them -A is the inverse. Matrices are scaled to a unit
diagonal first, so that a pivot is what the rows before leave unexplained of its own.
"""

from .graph_array import Array, full, loop, sqrt, where

_LEAST = 1e-13  # of a pivot, as in `kernels/cholesky.py`


def inverse(matrix: Array, unit: Array) -> tuple[Array, Array]:
    """Invert each matrix.

    Parameters
    ----------
    matrix : Array, shape (spaxel, n, n)
        Symmetric.
    unit : Array, shape (n, n)
        Unit matrix.

    Returns
    -------
    inverse : Array, shape (spaxel, n, n)
        Without meaning where a matrix is not positive.
    positive : Array, shape (spaxel, 1)
        Logical.
    """
    size = 1.0 / sqrt((matrix * unit).sum(2))

    def sweep(turn: Array, state: list[Array]) -> tuple[None, list[Array]]:
        swept, positive = state
        row = unit.take(turn)
        column = (swept * row).sum(2)
        pivot = (column * row.along(2)).sum(1)
        good = pivot > _LEAST
        rest = column - row.along(2)
        swept = swept - rest / where(good, pivot, 1.0) * rest.transposed
        return None, [swept - 2.0 * (row.along(2) * row), positive * good.number]

    start = [matrix * size * size.transposed, full(1.0, matrix.size(0), 1, 1)]
    swept, positive = loop(unit.size(0), start, sweep)
    return (0.0 - swept) * size * size.transposed, positive.shaped(0, 1) > 0.5
