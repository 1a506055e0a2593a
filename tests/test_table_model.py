import numpy as np
import pytest
from astropy.io import fits

from streamfit.io.errors import InputError
from streamfit.io.table_model import read_table_model
from streamfit.kernels.plasma import from_grid, thermal
from streamfit.models.plasma_table import load_plasma

TABLE = load_plasma()
EVERY = slice(None, None, 8)


def parameters(names, values, fixed):
    longest = max(len(one) for one in values)
    padded = np.array([[*one, *[0.0] * (longest - len(one))] for one in values])
    columns = [
        fits.Column("NAME", "12A", array=names),
        fits.Column("METHOD", "J", array=[1] * len(names)),
        fits.Column("NUMBVALS", "J", array=[len(one) for one in values]),
        fits.Column("VALUE", f"{longest}E", array=padded),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="PARAMETERS")
    table.header["NINTPARM"], table.header["NADDPARM"] = fixed, len(names) - fixed
    return table


def write(path, *, names=("kT", "Abundanc"), additional=False, drop=0, add_model=True, skip=()):
    """Write the shipped table, thinned, as XSPEC has it; the rows from last to first."""
    kT, metal = TABLE.temperature[EVERY], np.array([0.1, 0.4, 0.8, 1.5])
    low, high = TABLE.edges[:-1], TABLE.edges[1:]
    energies = fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", "D", unit="keV", array=low),
            fits.Column("ENERG_HI", "D", unit="keV", array=high),
        ],
        name="ENERGIES",
    )
    if additional:
        points, values = kT[:, None], TABLE.primordial[EVERY]
    else:
        points = np.stack(np.meshgrid(kT, metal, indexing="ij"), axis=-1).reshape(-1, 2)
        values = np.concatenate(
            [TABLE.primordial[at] + metal[:, None] * TABLE.metals[at] for at in range(0, 129, 8)]
        )
    rows = slice(None, None if not drop else drop - 1, -1)
    columns = [
        fits.Column("PARAMVAL", f"{points.shape[1]}E", array=points[rows]),
        fits.Column("INTPSPEC", f"{low.size}E", unit="photons/cm^2/s", array=values[rows]),
    ]
    if additional:
        columns.append(fits.Column("ADDSP001", f"{low.size}E", array=TABLE.metals[EVERY][rows]))
    spectra = fits.BinTableHDU.from_columns(columns, name="SPECTRA")
    primary = fits.PrimaryHDU()
    primary.header["MODLNAME"], primary.header["ADDMODEL"] = "mekal", add_model
    fixed = 1 if additional else 2
    parts = {
        "PARAMETERS": parameters(list(names), [kT, metal], fixed),
        "ENERGIES": energies,
        "SPECTRA": spectra,
    }
    kept = [part for name, part in parts.items() if name not in skip]
    fits.HDUList([primary, *kept]).writeto(path)
    return path


@pytest.mark.parametrize("additional", [False, True])
def test_a_table_model_gives_the_spectra_it_was_made_of(tmp_path, additional):
    found = read_table_model(write(tmp_path / "mekal.fits", additional=additional))
    assert found.name == "mekal"
    table = from_grid(found.edges, found.temperature, found.abundance, found.photons, TABLE)
    for kT in TABLE.temperature[EVERY][[2, 9, 15]]:
        exact = thermal(TABLE, kT, 0.6)
        bright = exact > 1e-6 * exact.max()
        np.testing.assert_allclose(thermal(table, kT, 0.6)[bright], exact[bright], rtol=1e-4)
    np.testing.assert_allclose(table.cross_section, TABLE.cross_section, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"add_model": False}, r"mekal.fits: ADDMODEL is F, it multiplies"),
        ({"names": ("Ecut", "Abundanc")}, r"its parameters are ecut, abundanc; give a table of kT"),
        ({"names": ("kT", "Density")}, r"its parameters are kt, density; give a table of kT"),
        ({"skip": ("SPECTRA",)}, r"mekal.fits: no extension SPECTRA, only PARAMETERS, ENERGIES"),
        ({"drop": 1}, r"67 spectra for 17 temperatures and 4 abundances; give every pair"),
    ],
)
def test_what_is_no_grid_of_temperature_and_abundance_is_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_table_model(write(tmp_path / "mekal.fits", **change))
