"""Small symmetric systems inside compiled loops, where a LAPACK call would cost more than the sum.

Matrices are dense, lower triangle in use, a few rows wide. The diagonal of a factor holds the
reciprocals of its elements: solving multiplies by them, and a division takes as long as a row.
"""

import math
from typing import Final

from numba import njit

from .profile import BORROWING, FAST_MATH

_IN_TURN: Final = {"contract", "nsz"}  # sums of so few terms only lose by being rearranged


@njit(**BORROWING, fastmath=_IN_TURN)
def factor(matrix, n):  # pragma: no cover - compiled
    """Replace the lower triangle of `matrix` by its Cholesky factor; False if not positive."""
    for j in range(n):
        total = matrix[j, j]
        start = total
        for k in range(j):
            total -= matrix[j, k] * matrix[j, k]
        if not total > 1e-13 * start:
            return False
        inverse = 1.0 / math.sqrt(total)
        matrix[j, j] = inverse
        for i in range(j + 1, n):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = total * inverse
    return True


@njit(**BORROWING, fastmath=_IN_TURN)
def forward(lower, n, vector):  # pragma: no cover - compiled
    """Solve L z = vector in place."""
    for i in range(n):
        total = vector[i]
        for k in range(i):
            total -= lower[i, k] * vector[k]
        vector[i] = total * lower[i, i]


@njit(**BORROWING, fastmath=_IN_TURN)
def backward(lower, n, vector):  # pragma: no cover - compiled
    """Solve L^T z = vector in place."""
    for i in range(n - 1, -1, -1):
        total = vector[i]
        for k in range(i + 1, n):
            total -= lower[k, i] * vector[k]
        vector[i] = total * lower[i, i]


@njit(**BORROWING, fastmath=FAST_MATH)
def invert(lower, n, inverse):  # pragma: no cover - compiled
    """Fill `inverse` with the inverse of L L^T; its lower triangle holds L^-1 on the way."""
    for j in range(n):
        inverse[j, j] = lower[j, j]
        for i in range(j):
            total = 0.0
            for k in range(i, j):
                total += lower[j, k] * inverse[k, i]
            inverse[j, i] = -total * inverse[j, j]
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, n):
                total += inverse[k, i] * inverse[k, j]
            inverse[j, i] = total
    for i in range(n):
        for j in range(i):
            inverse[i, j] = inverse[j, i]


@njit(**BORROWING)
def recover(lower, n, vector, product, gram):  # pragma: no cover - compiled
    """Fill `product` with L vector and the lower triangle of `gram` with L L^T."""
    for i in range(n):
        product[i] = vector[i] / lower[i, i]
        gram[i, i] = 1.0 / (lower[i, i] * lower[i, i])
        for k in range(i):
            product[i] += lower[i, k] * vector[k]
            gram[i, i] += lower[i, k] * lower[i, k]
            gram[i, k] = lower[i, k] / lower[k, k]
            for m in range(k):
                gram[i, k] += lower[i, m] * lower[k, m]
