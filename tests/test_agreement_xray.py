"""Deconvolved spectra against the truth of a simulation."""

import numpy as np
import pyarrow as pa
import pytest

from streamfit.io.errors import InputError
from streamfit.io.xray_columns import deconvolve_schema
from streamfit.kernels.response import ENERGY_EDGES
from streamfit.tools.agreement_xray import agreement, pair
from streamfit.tools.compare_xray import main, table

CENTRE = np.sqrt(ENERGY_EDGES[1:] * ENERGY_EDGES[:-1])
TRUE = -1.7 * np.log(CENTRE) - 8.0


def lists(values):
    flat = pa.array(np.concatenate(values))
    return pa.FixedSizeListArray.from_arrays(flat, CENTRE.size)


def tables(log_flux, sigma, counts, status=None, z=0.0):
    """A run of these spectra, and the truth, in another order."""
    number = len(log_flux)
    given = {
        "obs": [f"o{row}" for row in range(number)],
        "counts": np.asarray(counts, float),
        "status": np.zeros(number, np.int32) if status is None else np.array(status, np.int32),
        "refold_z": np.full(number, z),
        "log_photon_flux": lists(log_flux),
        "log_photon_flux_sigma": lists(sigma),
    }
    metadata = deconvolve_schema(ENERGY_EDGES, {}).metadata
    truth = {
        "obs": [f"o{row}" for row in reversed(range(number))],
        "log_photon_flux": lists([TRUE] * number),
    }
    return pa.table(given).replace_schema_metadata(metadata), pa.table(truth)


def test_the_truth_itself_agrees():
    found = agreement(pair(*tables([TRUE] * 3, [np.full(256, 0.1)] * 3, [400, 2e3, 5e5])))
    assert [row.counts for row in found] == [(300, 1e3), (1e3, 3e3), (3e4, np.inf), (0, np.inf)]
    assert [row.n for row in found] == [1, 1, 1, 3]
    for row in found:
        assert (row.l1, row.smoothed_l1, row.within_68, row.within_95) == (0, 0, 1, 1)


def test_scatter_of_the_size_of_sigma_is_covered_as_it_should_be():
    generator = np.random.default_rng(2)
    spectra = [TRUE + generator.normal(0, 0.2, 256) for _ in range(60)]
    row = agreement(pair(*tables(spectra, [np.full(256, 0.2)] * 60, [500] * 60)))[-1]
    assert row.within_68 == pytest.approx(0.683, abs=0.02)
    assert row.within_95 == pytest.approx(0.95, abs=0.01)
    # The mean of |exp(g) - 1| for g of a standard deviation of 0.2 is 0.16.
    assert row.l1 == pytest.approx(0.161, abs=0.015)
    assert row.smoothed_l1 < 0.5 * row.l1


def test_a_factor_is_the_l1_smoothed_or_not():
    row = agreement(pair(*tables([TRUE + np.log(1.25)], [np.full(256, np.nan)], [500])))[-1]
    assert row.l1 == pytest.approx(0.25)
    assert row.smoothed_l1 == pytest.approx(0.25, rel=1e-6)
    assert np.isnan(row.within_68)


def test_what_does_not_refold_is_counted_and_what_has_no_spectrum_is_not():
    bad = tables([TRUE] * 4, [np.full(256, 0.1)] * 4, [500] * 4, status=[0, 1024, 1, 0], z=-2.5)
    row = agreement(pair(*bad))[-1]
    assert row.n == 3
    assert row.rejected == pytest.approx(1 / 3)
    assert row.refolded == 0.0
    assert table([row]) is not None


def test_another_simulation_is_refused(tmp_path):
    run, truth = tables([TRUE], [np.full(256, 0.1)], [500])
    with pytest.raises(InputError, match="none of the 1 observations"):
        pair(run, truth.set_column(0, "obs", [["else"]]))
    assert main([str(tmp_path), str(tmp_path / "truth.parquet")]) == 2
