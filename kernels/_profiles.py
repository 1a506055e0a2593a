"""Compiled table of a model's columns at many velocities and broadenings."""

import math

import numpy as np
from numba import njit

from ._rows import fill
from .profile import GAUSSIAN, turns


@njit(cache=True, nogil=True, error_model="numpy")
def fill_columns(model, points, t, width, table):  # pragma: no cover - compiled
    """Fill `table`, (point, column, channel), with the sum of each column's lines.

    `points`, shape (point, 2), holds velocity and broadening, which all lines share.
    """
    lines, channels = model[2].size, t.size
    weight, rows, shares = np.ones(channels), np.empty((lines, channels)), np.empty(lines)
    waves = np.empty(channels), np.empty(channels)
    if model[0] != GAUSSIAN:
        turns(math.pi * (t[1] - t[0]) / width[0], waves[0], waves[1])
    for p in range(points.shape[0]):
        fill(model, points[p], (1.0, width), t, weight, waves, rows, shares)
        table[p] = 0.0
        for k in range(lines):
            for i in range(channels):
                table[p, model[3][k], i] += shares[k] * rows[k, i]
