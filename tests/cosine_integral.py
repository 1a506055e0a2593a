"""The sincgauss by quadrature: Gauss-Legendre on panels shorter than the cosine's waves."""

import numpy as np


def sincgauss(u: np.ndarray, a: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Profile I(u, a) / I(0, a) and its derivatives by u and q = a^2, to 1e-15.

    I = int_0^1 exp(-q t^2) cos(ut) dt; `u` has shape (channel,).
    """
    node, weight = np.polynomial.legendre.leggauss(40)
    panels = int(max(np.abs(u).max() / 30, a)) + 2
    t = ((np.arange(panels)[:, None] + 0.5 + 0.5 * node) / panels).ravel()
    weight = np.tile(weight / (2 * panels), panels) * np.exp(-((a * t) ** 2))
    norm, norm_q = weight.sum(), -(weight * t**2).sum()
    wave = np.outer(t, u)
    even = np.array([weight, -weight * t**2]) @ np.cos(wave)
    f = even[0] / norm
    return f, -(weight * t) @ np.sin(wave) / norm, (even[1] - f * norm_q) / norm
