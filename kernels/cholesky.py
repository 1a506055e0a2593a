"""Small symmetric systems inside compiled loops, where a LAPACK call would cost more than the sum.

Matrices are dense, lower triangle in use, a few rows wide.
"""

import math

from numba import njit

from .profile import BORROWING, FAST_MATH


@njit(**BORROWING, fastmath=FAST_MATH)
def factor(matrix, n):  # pragma: no cover - compiled
    """Replace the lower triangle of `matrix` by its Cholesky factor; False if not positive."""
    for j in range(n):
        total = matrix[j, j]
        start = total
        for k in range(j):
            total -= matrix[j, k] * matrix[j, k]
        if not total > 1e-13 * start:
            return False
        root = math.sqrt(total)
        matrix[j, j] = root
        for i in range(j + 1, n):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = total / root
    return True


@njit(**BORROWING, fastmath=FAST_MATH)
def forward(lower, n, vector):  # pragma: no cover - compiled
    """Solve L z = vector in place."""
    for i in range(n):
        total = vector[i]
        for k in range(i):
            total -= lower[i, k] * vector[k]
        vector[i] = total / lower[i, i]


@njit(**BORROWING, fastmath=FAST_MATH)
def backward(lower, n, vector):  # pragma: no cover - compiled
    """Solve L^T z = vector in place."""
    for i in range(n - 1, -1, -1):
        total = vector[i]
        for k in range(i + 1, n):
            total -= lower[k, i] * vector[k]
        vector[i] = total / lower[i, i]


@njit(**BORROWING, fastmath=FAST_MATH)
def invert(lower, n, inverse):  # pragma: no cover - compiled
    """Fill `inverse` with the inverse of L L^T; its lower triangle holds L^-1 on the way."""
    for j in range(n):
        inverse[j, j] = 1.0 / lower[j, j]
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
