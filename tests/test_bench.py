import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import scipy_reference as reference
from synthetic_spectra import BOUNDS, REST, STEP_NM, STEPS, ZPD, sn3_axis

from streamfit.io.errors import InputError
from streamfit.tools import bench, bench_cold, bench_cubes, bench_stream
from streamfit.tools.bench_compiled import build_tables, numba_engine, reduced_engine
from streamfit.tools.bench_plot import draw_cost
from streamfit.tools.bench_problem import profile, profiles, synthetic
from streamfit.tools.fit_engines import fit_numpy, fit_scipy

FULL = 2048 * 2064


@pytest.fixture(scope="module")
def problem():
    return synthetic(12, seed=5)


@pytest.fixture(scope="module")
def tables(problem):
    return build_tables(problem)


@pytest.fixture(scope="module")
def expected(problem):
    weight = np.ones(problem.axis.size)
    return [
        reference.fit(lines_of(problem, k), y, weight / noise, start, BOUNDS).chi2
        for k, (y, noise, start) in enumerate(
            zip(problem.data, problem.noise, problem.start, strict=True)
        )
    ]


@pytest.fixture
def gentle(monkeypatch, tmp_path):
    """Leave the page cache of the machine alone: drop no more than our own file."""
    monkeypatch.setattr(bench_cold, "_DROP", tmp_path / "not here" / "drop_caches")


def lines_of(problem, k):
    width = np.full(5, problem.width[k])
    return reference.Lines(problem.axis, problem.rest, width, windows=((14750.0, 15500.0),))


def test_the_problem_is_the_one_that_is_quoted(problem):
    assert problem.axis.size == 364
    np.testing.assert_allclose(problem.axis, sn3_axis(), rtol=1e-14)
    np.testing.assert_allclose(problem.rest, REST, rtol=1e-14)
    corr = problem.width * 2 * STEP_NM * (STEPS - ZPD) * 1e-7
    assert 1.021 < corr.min() < 1.03 < 1.05 < corr.max() < 1.061
    assert 1 / 100 <= problem.noise.min() < problem.noise.max() <= 1 / 3
    np.testing.assert_array_equal(problem.data, problem.data.astype(np.float32))


def test_copies_start_elsewhere(problem):
    many = problem.repeated(3)
    np.testing.assert_array_equal(many.data, np.tile(problem.data, (3, 1)))
    np.testing.assert_array_equal(many.width, np.tile(problem.width, 3))
    np.testing.assert_array_equal(many.start[:12], problem.start)
    assert len(np.unique(many.start[:, 0])) == 36
    assert np.abs(many.start[:, 0] - many.truth[:, 0]).max() < 75  # five standard deviations


def test_profiles_and_slopes_are_those_of_the_reference(problem):
    theta, width = np.array([123.0, 41.0]), problem.width[7]
    f, by_v, by_b = profiles(problem, theta, width)
    lines = reference.Lines(problem.axis, problem.rest, np.full(5, width))
    for k in range(5):
        p = np.r_[theta, np.eye(5)[k]]
        model, jacobian = lines.evaluate(p)
        np.testing.assert_allclose(f[k], model, rtol=0, atol=1e-13)
        np.testing.assert_allclose(by_v[k], jacobian[:, 0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(by_b[k], jacobian[:, 1], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(profile(problem, theta, width), f)
    batch = profiles(problem, theta[None, :], problem.width[7:8])
    np.testing.assert_array_equal(batch[0][0], f)


def test_all_engines_find_the_same_minima(problem, tables, expected):
    for found in (
        fit_scipy(problem),
        fit_scipy(problem, shared=True),
        fit_numpy(problem),
        numba_engine(problem, 1)(),
        numba_engine(problem, 2)(),
        reduced_engine(problem, 1, tables.engine, polished=True)(),
        reduced_engine(problem, 2, tables.engine, polished=True)(),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_the_search_alone_ends_near_the_minima(problem, tables, expected):
    found = reduced_engine(problem, 1, tables.engine, polished=False)()
    shared = reduced_engine(problem, 2, tables.engine, polished=False)()
    np.testing.assert_array_equal(found, shared)
    assert np.median(np.abs(found - expected)) < 3  # of some 360: profiles are off by 1e-3


def test_tables_are_for_the_widths_of_the_problem(problem, tables):
    widths = np.log(problem.width / (problem.axis[1] - problem.axis[0]))
    assert tables.classes == len(set(np.rint(widths / 2e-3)))
    assert tables.nbytes == tables.engine.nbytes > 1e6
    assert tables.core_seconds > 0


def test_the_benchmark_prints_a_line_for_each_engine(capsys):
    words = ["fit", "-n", "4", "--rounds", "2", "--threads", "1,2", "--seconds", "0.02", "--json"]
    assert bench.main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["engine"], line["threads"]) for line in lines] == [
        ("scipy", 1),
        ("scipy, shared", 1),
        ("numpy", 1),
        *((name, k) for name in ("numba", "reduced, finding", "reduced") for k in (1, 2)),
    ]
    assert all(line["spectra"] == 4 for line in lines)
    assert all(line["agree"] == 1.0 for line in lines if line["engine"] != "reduced, finding")
    assert (lines[0]["ratio"], lines[0]["core_ratio"]) == (1.0, 1.0)
    assert lines[3]["core_ratio"] > 20  # two hundred on an idle machine
    assert lines[7]["core_ratio"] > 20  # four hundred
    assert all(line["times_one"] == 1.0 for line in lines if line["threads"] == 1)
    assert all(line["times_one"] > 0 for line in lines if line["threads"] == 2)
    assert all((line["tables_s"] is None) == (line["engine"][:7] != "reduced") for line in lines)
    assert {"cpu", "cores", "python", "numpy", "scipy", "numba"} <= set(lines[0]["machine"])


def test_the_benchmark_prints_a_table(capsys):
    words = ["fit", "-n", "2", "--rounds", "1", "--threads", "2", "--seconds", "0.01"]
    assert bench.main(words) == 0
    printed = capsys.readouterr().out
    assert "x scipy" in printed
    assert "reduced, finding" in printed
    assert "tables for 2 classes of line width" in printed


@pytest.mark.parametrize(
    "wrong",
    [
        ["fit", "-n", "3", "--rounds", "4"],
        ["fit", "--threads", "0"],
        ["fit", "-n", "x"],
        ["stream", "--folder", "f", "--sizes", "2^x"],
        ["stream", "--folder", "f", "--rounds", "0"],
        ["stream", "--folder", "f", "--thread", "1"],
        ["stream"],
    ],
)
def test_what_cannot_be_measured_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        bench.main(wrong)
    assert capsys.readouterr().err


def test_a_command_is_measured_apart_from_what_started_it(tmp_path):
    ours = b"o" * (300 << 20)
    code = "import time, sys; x = b'x' * (60 << 20); time.sleep(0.3); print('said'); sys.exit(3)"
    used = bench_cold.measure([sys.executable, "-S", "-c", code], tmp_path / "log")
    assert used.exit_code == 3
    assert (tmp_path / "log").read_text() == "said\n"
    assert 60 << 20 < used.peak_bytes < 100 << 20 < len(ours)
    assert used.wall_s > 0.3
    assert 0 < used.user_s + used.system_s < 60


@pytest.mark.usefixtures("gentle")
def test_a_cold_file_comes_from_the_disk(tmp_path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True)
    if kind.stdout.strip() in ("tmpfs", "ramfs"):
        pytest.skip("the folder of the tests is in memory; give another --basetemp")
    path, out = tmp_path / "file", tmp_path / "out"
    path.write_bytes(np.random.default_rng(0).bytes(8 << 20))
    assert bench_cold.make_cold(path) == "fadvise"
    cold = bench_cold.measure(["cat", str(path)], out)
    warm = bench_cold.measure(["cat", str(path)], out)
    assert cold.read_bytes >= 8 << 20
    assert warm.read_bytes < 1 << 20


@pytest.mark.usefixtures("gentle")
def test_a_cube_is_timed_from_the_disk_to_its_table(tmp_path, capsys, monkeypatch):
    folder, figure = tmp_path / "cubes", tmp_path / "cost.png"
    words = ["stream", "--folder", str(folder), "--sizes", "2^10"]
    options = ["--", "--threads", "1"]
    assert bench.main([*words, "--json", "--figure", str(figure), *options]) == 0
    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (line["spectra"], line["shape"], line["threads"]) == (1024, [32, 32], 1)
    assert (line["engine"], line["cold"]) == ("direct", "fadvise")
    assert line["options"] == "--threads 1"
    assert line["cube_bytes"] > 1024 * 842 * 4
    assert line["spectra_per_second"] == pytest.approx(1024 / line["wall_s"], rel=1e-2)
    assert 0 < line["start_s"] < line["wall_s"]
    assert 100e6 < line["peak_bytes"] < 2 << 30
    assert line["table_bytes"] > 1024 * 25 * 2
    assert line["times_cat"] > 1
    assert "cpu" in line["machine"]
    assert figure.read_bytes()[1:4] == b"PNG"
    cube = folder / "sn3-32x32.hdf5"
    assert sorted(folder.iterdir()) == [cube, folder / "sn3-32x32.truth.parquet"]
    written = cube.stat().st_mtime_ns
    monkeypatch.setattr(sys, "executable", "false")
    assert bench.main(words) == 2  # the run fails, on the cube that stands
    assert "sn3-32x32.hdf5: the run ended with 1, saying: nothing" in capsys.readouterr().err
    assert cube.stat().st_mtime_ns == written
    cube.rename(folder / "sn3-32x64.hdf5")
    assert bench.main([*words[:3], "--sizes", "2048"]) == 2
    assert "has 32 x 32 spaxels, not 32 x 64; delete it" in capsys.readouterr().err


def test_a_full_disk_is_told_before_a_cube_is_begun(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**10)
    monkeypatch.setattr(bench_cubes.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"takes 14.2 GB and 10.0 GB are free; free some"):
        bench_cubes.ready_cube(tmp_path, FULL, print)
    assert not list(tmp_path.iterdir())


def test_fields_are_next_to_squares():
    sizes = {2**14: (128, 128), 2**15: (128, 256), 6: (2, 3), FULL: (2048, 2064)}
    assert {size: bench_cubes.field_shape(size) for size in sizes} == sizes
    with pytest.raises(InputError, match="1009 spectra make a field of 1 x 1009; give a size"):
        bench_cubes.field_shape(1009)


def test_the_picture_of_many_sizes_is_small(tmp_path):
    draw_cost([at(2.0**k) for k in (14, 16, 18, 20, 22) for _ in range(2)], tmp_path / "cost.png")
    assert 10_000 < (tmp_path / "cost.png").stat().st_size < 200_000


def at(spectra):
    """A run in proportion to its size."""
    wall, cat = 3 + spectra / 9e4, spectra * 3368 / 1.2e9
    fields = {
        "spectra": int(spectra),
        "shape": (1, int(spectra)),
        "wall_s": wall,
        "start_s": 3.0,
        "user_s": 1.8 * wall,
        "system_s": 0.1 * wall,
        "cat_s": cat,
    }
    names = bench_stream.Pass.__dataclass_fields__
    return bench_stream.Pass(**{name: fields.get(name, 0) for name in names})
