"""Observations given to the fit: native folding, alignment, and all counts at once."""

import numpy as np
import pytest
from ogip_files import observation, pha

from streamfit.io.ogip import read_observation
from streamfit.kernels.response import ENERGY_EDGES, fold_photons, working_matrix
from streamfit.kernels.unfold import Problem
from streamfit.stream.xray_member import aligned, bins_between, joint_problem, member_of
from streamfit.stream.xray_problem import WorkingObservation


@pytest.fixture
def found(tmp_path):
    return read_observation(observation(tmp_path, BACKFILE="b.pha", AREASCAL=0.5))


def test_a_member_folds_as_the_native_response_does(found):
    member = member_of(found)
    response = found.response
    photons = np.random.default_rng(1).uniform(1.0, 2.0, response.energies)
    folded = fold_photons(response, photons, exposure=found.exposure, area_scale=found.area_scale)
    centre = 0.5 * (response.channel_low + response.channel_high)
    inside = (centre >= 0.5) & (centre < 6.98)
    first = int(np.searchsorted(response.energy_low, member.energy_edges[0] - 1e-6))
    used = photons[first : first + member.matrix.shape[1]]
    np.testing.assert_allclose(member.matrix @ used, folded[inside], rtol=1e-6)
    np.testing.assert_array_equal(member.counts, found.counts[inside])
    assert member.background is not None
    np.testing.assert_array_equal(member.background, found.background.counts[inside])


def test_a_background_without_poisson_counts_is_known(tmp_path):
    observation(tmp_path)
    pha(tmp_path / "m.pha", np.full(24, 0.5), HDUCLAS2="BKG")
    found = read_observation(pha(tmp_path / "s.pha", BACKFILE="m.pha"))
    member = member_of(found)
    assert member.background is None
    assert member.known is not None
    assert member.known.sum() > 0


def test_alignment_moves_a_spectrum_and_keeps_its_photons(found):
    """A flux seen at z_i through the response is that of the group through the aligned one."""
    own, group = 0.3, 0.1
    stretch = 1.3 / 1.1
    moved = aligned(found, own, group)
    bins = WorkingObservation.of(found).bins
    centre = np.sqrt(ENERGY_EDGES[1:] * ENERGY_EDGES[:-1])

    def flux(energy):
        return energy**-1.5

    seen, through = (
        working_matrix(one.response, bins, exposure=one.exposure) @ values
        for one, values in ((found, flux(centre * stretch)), (moved, flux(centre)))
    )
    middle = slice(40, 180)  # away from the ends of the working energies
    np.testing.assert_allclose(through[middle], seen[middle], rtol=0.02)
    assert aligned(found, 0.2, 0.2) is found
    assert bins_between(own, group) == pytest.approx(
        np.log(stretch) / np.log(ENERGY_EDGES[1] / ENERGY_EDGES[0])
    )


def test_the_joint_problem_adds_everything_up():
    rng = np.random.default_rng(2)
    parts = [Problem(rng.poisson(3, 5).astype(float), rng.random((5, 7)), np.ones(5)) for _ in "ab"]
    found = joint_problem(parts)
    np.testing.assert_array_equal(found.counts, parts[0].counts + parts[1].counts)
    np.testing.assert_array_equal(found.matrix, parts[0].matrix + parts[1].matrix)
    np.testing.assert_array_equal(found.background, np.full(5, 2.0))
