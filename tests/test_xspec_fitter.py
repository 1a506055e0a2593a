"""Our fits beside those of XSPEC's own models and scipy."""

import numpy as np
import pytest

from streamfit.io.ogip import Links, read_observation
from streamfit.kernels.xray_fit import Task, default_starts, fit
from streamfit.kernels.xray_model import MODELS
from streamfit.models.plasma_table import load_plasma
from streamfit.stream.xray_member import member_of
from streamfit.tools.real_xray_fits import compare, table
from streamfit.tools.xray_fit_trials import trial


@pytest.fixture(scope="module")
def fitter():
    pytest.importorskip("xspectrampoline", reason="pip install 'stream-fit[train]' to compare")
    from streamfit.tools.xspec_fitter import XspecFitter
    from streamfit.tools.xspec_library import XspecLibrary

    library = XspecLibrary()
    if not library.has_mekal:
        pytest.skip(f"{library.data_folder} has no mekal1.dat")
    return XspecFitter(library)


@pytest.mark.slow
def test_a_simulated_cluster_is_fitted_alike(fitter):
    one = trial("apec1", 8, counts=(1e4, 1e4), seed=4)
    ours = fit(one.task, default_starts(one.task))
    theirs = fitter.fit(one.task.members[0], "apec1", 1.2 * one.values, redshift=one.task.redshift)
    # The table interpolates in temperature and is linear in abundance: each good to a percent.
    np.testing.assert_allclose((ours.values - theirs.values) / ours.errors, 0.0, atol=0.4)
    np.testing.assert_allclose(ours.errors, theirs.errors, rtol=0.2)
    assert ours.statistic == pytest.approx(theirs.statistic, abs=3.0)


@pytest.mark.slow
def test_abell_2029_is_fitted_as_by_xspec(shared_data, fitter):
    """The plain fit of it has kT 6.60 keV, abundance 0.41 and, with phabs, nH 0.077."""
    from streamfit.tools.xspec_fitter import XspecFitter

    folder = shared_data / "xray"
    links = Links(arf=str(folder / "sis0.arf"), rmf=str(folder / "sis0.rmf"))
    member = member_of(read_observation(folder / "sis0.pha", links=links))
    task = Task((member,), MODELS["apec1"], load_plasma(), 0.0773)
    ours = fit(task, default_starts(task))
    theirs = fitter.fit(member, "apec1", 1.2 * ours.values, redshift=0.0773)
    np.testing.assert_allclose((ours.values - theirs.values) / ours.errors, 0.0, atol=0.3)
    plain = XspecFitter(fitter.library, "phabs").fit(
        member, "apec1", 1.2 * ours.values, redshift=0.0773
    )
    np.testing.assert_allclose(plain.values[:3], [6.60, 0.41, 0.077], rtol=0.02)


@pytest.mark.slow
def test_power_laws_have_the_slopes_others_found(shared_data):
    for one in compare(shared_data / "xray", None):
        known = one.source.known.get("index")
        if known is not None:
            assert abs(one.fit.values[0] - known) < 2.0 * one.fit.errors[0], one.source.target
            assert abs(one.posterior.mean[0] - known) < 2.0 * one.posterior.sigma[0]
        assert one.posterior.k_hat < 0.7
    assert "| simulated, 30000 counts |" in table([one])
