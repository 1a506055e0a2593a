"""Spectra as a SITELLE cube in the SN3 filter gives them, made without `streamfit.kernels`."""

from dataclasses import dataclass

import numpy as np
from scipy_reference import Lines

STEP_NM, STEPS, ZPD, ORDER = 2943.0, 842, 169, 8
CORR = 1 / np.cos(np.deg2rad(11.96))  # the field's centre
NAMES = ("Halpha", "NII6548", "NII6583", "SII6716", "SII6731")
REST = 1e7 / np.array([656.2819, 654.805, 658.345, 671.6440, 673.0816])  # [cm-1]
WIDTH = 1 / (2 * STEP_NM * (STEPS - ZPD) / CORR * 1e-7)  # [cm-1]: R 4900 at Halpha
WINDOW = (14750.0, 15500.0)
BOUNDS = ((-1000.0, 1000.0), (1.0, 300.0))


def sn3_axis() -> np.ndarray:
    """Wavenumbers inside the window [cm-1], 364 of 842 channels."""
    unit = CORR / (2 * STEP_NM) * 1e7
    x = unit * (ORDER + np.arange(STEPS) / STEPS)
    return x[(x > WINDOW[0]) & (x < WINDOW[1])]


@dataclass(frozen=True)
class Sample:
    """Spectra with white noise and what they were made of; first axis spaxel."""

    lines: Lines
    data: np.ndarray  # (spaxel, channel), Halpha of peak 1
    noise: np.ndarray  # (spaxel,)
    truth: np.ndarray  # (spaxel, parameter), ordered as in `Lines`
    start: np.ndarray  # (spaxel, 2): truth + 15 km/s rms

    @property
    def weight(self) -> np.ndarray:
        return np.repeat(1 / self.noise[:, None], self.data.shape[1], axis=1)


def sn3_sample(count: int, *, seed: int, snr: tuple[float, float] = (3.0, 100.0)) -> Sample:
    """Give five lines of one velocity on a constant, SNR of Halpha log-uniform."""
    rng = np.random.default_rng(seed)
    lines = Lines(sn3_axis(), REST, np.full(5, WIDTH), windows=(WINDOW,))
    v, b = rng.uniform(-500, 500, count), rng.uniform(10, 100, count)
    nitrogen, sulphur = rng.uniform(0.1, 1.2, count), rng.uniform(0.1, 0.5, count)
    weaker = sulphur * rng.uniform(0.7, 1.0, count)
    constant = rng.uniform(0, 0.3, count)
    one = np.ones(count)
    truth = np.stack([v, b, one, nitrogen / 3, nitrogen, sulphur, weaker, constant], axis=1)
    noise = 1 / np.exp(rng.uniform(*np.log(snr), count))
    data = np.array([lines.evaluate(p)[0] for p in truth])
    data += noise[:, None] * rng.standard_normal(data.shape)
    start = truth[:, :2] + 15 * rng.standard_normal((count, 2))
    start[:, 1] = np.clip(start[:, 1], 5, 150)
    return Sample(lines, data, noise, truth, start)
