"""Small spectra of known truth for the tests of the optical recipe, without a file."""

import numpy as np

from streamfit.io.records import BatchKey, CubeHeader, FtsAxis, SampledAxis, SpectralBatch
from streamfit.kernels import ils

C = 299792.458
AIR_NM = {
    "NII6548": 654.805,
    "Halpha": 656.2819,
    "NII6583": 658.345,
    "SII6716": 671.6440,
    "SII6731": 673.0816,
}
BAND = (1e7 / 685.0, 1e7 / 647.7)


def fts_header(*, calibrated=True, channels=842, **fields):
    axis = FtsAxis(
        channels=channels,
        step_nm=2943.0,
        order=8,
        step_nb=channels,
        zpd_index=channels // 5,
        axis_corr=1.0375,
        calibrated=calibrated,
    )
    known = {"unit": "erg/s/cm**2/Angstrom", "filter_name": "SN3", "band": BAND}
    return CubeHeader(name="c.hdf5", layout="test", shape=(4, 4), axis=axis, **(known | fields))


def fts_spectra(
    header, *, velocity, broadening, amplitude, continuum=0.3, noise=0.01, corr=None, seed=1
):
    """A batch of noisy spectra; amplitude has shape (spaxel, line), the rest (spaxel,)."""
    rng = np.random.default_rng(seed)
    axis = header.axis
    spaxels = len(velocity)
    corr = np.full(spaxels, 1.03) if corr is None else np.asarray(corr)
    n, step = axis.channels, axis.step_nm
    data = np.empty((spaxels, n))
    for s in range(spaxels):
        stretch = axis.axis_corr if axis.calibrated else corr[s]
        x = stretch * 1e7 * (axis.order / (2 * step) + np.arange(n) / (2 * n * step))
        width = corr[s] * 1e7 / (2 * step * (axis.step_nb - axis.zpd_index))
        data[s] = np.where((x > BAND[0]) & (x < BAND[1]), continuum, 0.0)
        for k, nm in enumerate(AIR_NM.values()):
            centre = 1e7 / (nm * (1 + velocity[s] / C))
            sigma = broadening[s] / C * centre
            data[s] += amplitude[s, k] * ils.sincgauss(x - centre, sigma, width)
    imaginary = rng.normal(size=data.shape) * noise if header.has_imaginary else None
    data += rng.normal(size=data.shape) * noise
    return batch_of(data, corr=corr, imaginary=imaginary)


def batch_of(data, *, corr=None, variance=None, imaginary=None):
    index = np.arange(len(data), dtype=np.int32)
    key = BatchKey("c.hdf5", 0, len(data))
    return SpectralBatch(key, index, index, data, corr, variance, imaginary)


def doublet_amplitudes(spaxels, *, halpha=1.0, nii=0.6, sii=0.4):
    """Amplitudes whose [NII] doublet has the flux ratio 3.071 for lines wider than the ILS' own."""
    row = [nii / 3.071 / (658.345 / 654.805), halpha, nii, sii, 0.8 * sii]
    return np.tile(row, (spaxels, 1))


def wavelength_header(*, kind="air", low=6400.0, high=6900.0, step=1.25, **fields):
    coordinate = np.arange(low, high, step)
    known = {"unit": "1e-20 erg / (Angstrom s cm2)", "has_variance": True}
    axis = SampledAxis(coordinate, kind, fields.pop("lsf_sigma", None))
    return CubeHeader(name="m.fits", layout="test", shape=(4, 4), axis=axis, **(known | fields))


def gaussian_spectra(header, *, velocity, broadening, flux, lsf=1.1, sigma=0.05, seed=2):
    """Air spectra with a variance that grows fourfold over the axis; flux of shape (line,)."""
    rng = np.random.default_rng(seed)
    t = header.axis.coordinate
    data = np.full((len(velocity), t.size), 0.5)
    for s in range(len(velocity)):
        for k, nm in enumerate(AIR_NM.values()):
            centre = 10 * nm * (1 + velocity[s] / C)
            total = np.hypot(broadening[s] / C * centre, lsf)
            data[s] += flux[k] / (np.sqrt(2 * np.pi) * total) * ils.gaussian(t - centre, total)
    deviation = sigma * np.linspace(1.0, 2.0, t.size)
    data += rng.normal(size=data.shape) * deviation
    return batch_of(data, variance=np.tile(deviation**2, (len(velocity), 1)))
