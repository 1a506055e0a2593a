import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from streamfit.kernels.plasma import (
    PlasmaTable,
    flux_density,
    gaussian_line,
    power_law,
    rebin,
    thermal,
    transmission,
)
from streamfit.kernels.response import ENERGY_EDGES
from streamfit.models.plasma_table import load_plasma

EDGES = np.linspace(0.5, 10.0, 96)
# XSPEC 6.35.1, tbabs with abundances wilm [1e-22 cm2 per H] at these energies [keV].
TBABS = {0.3: 27.319, 0.5: 6.2965, 1.0: 1.73755, 2.0: 0.292072, 5.0: 0.0239023, 7.0: 0.00898554}


@pytest.fixture
def toy():
    """Three temperatures whose emission falls as exp(-E / kT), with a line of metals at 5 keV."""
    temperature = np.array([1.0, 2.0, 4.0])
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    primordial = np.exp(-centre / temperature[:, None])
    metals = np.zeros_like(primordial)
    metals[:, 45] = 0.3
    return PlasmaTable(EDGES, temperature, primordial, metals, centre**-3.0)


def test_a_temperature_of_the_table_gives_its_row(toy):
    found = thermal(toy, 2.0, 0.5, norm=3.0)
    np.testing.assert_allclose(found, 3.0 * (toy.primordial[1] + 0.5 * toy.metals[1]), rtol=1e-12)


def test_between_temperatures_the_logarithm_is_interpolated(toy):
    found = thermal(toy, np.sqrt(2.0), 0.0)
    np.testing.assert_allclose(found, np.sqrt(toy.primordial[0] * toy.primordial[1]), rtol=1e-12)


def test_beyond_the_table_its_ends_are_taken(toy):
    ends = thermal(toy, np.array([0.01, 100.0]), 0.0)
    np.testing.assert_allclose(ends, toy.primordial[[0, 2]], rtol=1e-12)


def test_parameters_broadcast(toy):
    found = thermal(toy, np.array([[1.0], [3.0]]), np.array([0.0, 0.4, 1.0]), 0.1, 2.0)
    assert found.shape == (2, 3, 95)
    np.testing.assert_allclose(found[1, 2], thermal(toy, 3.0, 1.0, 0.1, 2.0), rtol=1e-14)


def test_a_redshift_moves_lines_and_spreads_arrivals(toy):
    with_line, without = (thermal(toy, 2.0, metal, 0.25) for metal in (1.0, 0.0))
    line = with_line - without
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    assert line.sum() == pytest.approx(0.3 / 1.25, rel=1e-9)
    assert (line * centre).sum() / line.sum() == pytest.approx(5.05 / 1.25, abs=0.02)


@pytest.mark.parametrize("index", [-0.5, 0.0, 1.0, 1.7, 3.0])
def test_a_power_law_is_integrated_over_its_bins(index):
    found = power_law(EDGES, index, 2.5)
    exact = [
        2.5 * quad(lambda e: e**-index, low, high)[0] for low, high in itertools.pairwise(EDGES[:6])
    ]
    np.testing.assert_allclose(found[:5], exact, rtol=1e-9)


def test_a_line_is_the_integral_of_a_gaussian():
    found = gaussian_line(EDGES, 3.02, 0.2, 4.0)
    np.testing.assert_allclose(found, 4.0 * np.diff(norm.cdf(EDGES, 3.02, 0.2)), atol=1e-12)
    narrow = gaussian_line(EDGES, np.array([3.02, 7.77]), 0.0, 4.0)
    np.testing.assert_array_equal(np.count_nonzero(narrow, axis=1), [1, 1])
    assert narrow.sum() == pytest.approx(8.0)


def test_absorption_multiplies_and_follows_its_redshift(toy):
    once = transmission(toy, np.array([0.2, 0.4]))
    np.testing.assert_allclose(once[1], once[0] ** 2, rtol=1e-12)
    moved = transmission(toy, 0.2, 0.5)
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    at = np.interp(2.0, centre, -np.log(moved)), np.interp(3.0, centre, -np.log(once[0]))
    assert at[0] == pytest.approx(at[1], rel=0.01)


def test_rebinning_keeps_photons():
    photons = power_law(EDGES, 1.3)
    onto = np.array([0.5, 0.93, 2.0, 2.01, 6.2, 10.0])
    assert rebin(EDGES, photons, onto).sum() == pytest.approx(photons.sum(), rel=1e-12)
    density = flux_density(EDGES, np.stack([photons, 2 * photons]), onto)
    np.testing.assert_allclose(density[0] * np.diff(onto), rebin(EDGES, photons, onto))
    np.testing.assert_allclose(density[1], 2 * density[0])


def test_shapes_that_disagree_are_refused(toy):
    with pytest.raises(ValueError, match=r"metals has shape \(2, 95\), the axes say \(3, 95\)"):
        PlasmaTable(EDGES, toy.temperature, toy.primordial, toy.metals[:2], toy.cross_section)
    with pytest.raises(ValueError, match="temperature of a plasma table must be positive"):
        PlasmaTable(EDGES, toy.temperature[::-1], toy.primordial, toy.metals, toy.cross_section)


def test_hydrogen_and_helium_shine_by_bremsstrahlung():
    # Rybicki & Lightman (1979), eq. 5.14b: 6.8e-38 Z^2 n_e n_i T^-1/2 exp(-h nu / kT) g in
    # erg/s/cm3/Hz, with a helium nucleus for each 10.2 of hydrogen, and a Gaunt factor near one
    # at E = kT.
    kT, energy = 5.0, 5.0
    kelvin, erg, hertz = kT * 1.160e7, energy * 1.602e-9, 2.418e17
    ions = 1.0 + 4.0 * 0.0977
    exact = 1e14 * 6.8e-38 * ions * kelvin**-0.5 * np.exp(-energy / kT) / erg * hertz
    table = load_plasma()
    found = flux_density(table.edges, thermal(table, kT, 0.0), np.array([4.9, 5.1]))[0]
    assert 0.8 < found / exact < 1.2


def test_the_shipped_cross_sections_are_those_of_tbabs():
    table = load_plasma()
    centre = 0.5 * (table.edges[1:] + table.edges[:-1])
    for energy, wanted in TBABS.items():
        found = np.exp(np.interp(np.log(energy), np.log(centre), np.log(table.cross_section)))
        assert found == pytest.approx(wanted, rel=0.005)


def test_iron_stands_where_it_should():
    table = load_plasma()
    line = thermal(table, 5.0, 1.0, 0.2) - thermal(table, 5.0, 0.0, 0.2)
    centre = 0.5 * (table.edges[1:] + table.edges[:-1])
    near = (centre > 5.0) & (centre < 6.2)
    assert centre[near][np.argmax(line[near])] == pytest.approx(6.70 / 1.2, abs=0.03)


def test_the_table_is_the_library_to_one_percent():
    pytest.importorskip("xspectrampoline", reason="pip install 'stream-fit[train]' to compare")
    from streamfit.tools.xspec_library import XspecLibrary

    library, table = XspecLibrary(), load_plasma()
    if not library.has_mekal:
        pytest.skip(f"copy mekal1.dat to mekal6.dat to {library.data_folder} to compare")
    library.abundances("angr")
    rng, bins = np.random.default_rng(5), np.arange(0.4, 8.51, 0.05)
    for _ in range(30):
        kT, metal = np.exp(rng.uniform(np.log(0.08), np.log(20.0))), rng.uniform(0.0, 1.2)
        exact = rebin(table.edges, library.mekal(table.edges, kT, metal), bins)
        found = rebin(table.edges, thermal(table, kT, metal), bins)
        bright = exact > 1e-4 * exact.max()
        assert np.abs(found[bright] / exact[bright] - 1.0).max() < 0.01
    library.abundances("wilm")
    through = library.tbabs(table.edges, 0.3)
    fine = through > 1e-6
    np.testing.assert_allclose(transmission(table, 0.3)[fine], through[fine], rtol=1e-3)


def test_the_working_grid_is_within_the_table():
    edges = load_plasma().edges
    assert edges[0] < ENERGY_EDGES[0]
    assert edges[-1] > 4.0 * ENERGY_EDGES[-1]
