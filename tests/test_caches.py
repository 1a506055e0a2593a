"""Compiled kernels are kept for as long as their sources and those these import stand."""

import pytest

from streamfit.kernels._caches import forget_stale

SOURCES = {
    "caller": "from .called import (\n    one,\n)\n",
    "called": "from . import deep, wide as broad\none = 1\n",
    "deep": "two = 2\n",
    "wide": "",
    "apart": "three = 3\n",
}


@pytest.fixture
def folder(tmp_path):
    for module, source in SOURCES.items():
        (tmp_path / f"{module}.py").write_text(source)
    forget_stale(tmp_path)
    for module in SOURCES:
        for end in ("cpython-311.pyc", "f-1.py311.nbi", "f-1.py311.1.nbc"):
            (tmp_path / "__pycache__" / f"{module}.{end}").write_text("compiled")
    return tmp_path


def compiled(folder):
    paths = (folder / "__pycache__").glob("*.nb[ic]")
    return {path.name.partition(".")[0] for path in paths}


def test_compiled_kernels_are_kept_while_sources_stand(folder):
    forget_stale(folder)
    assert compiled(folder) == set(SOURCES)


@pytest.mark.parametrize(
    ("module", "left"),
    [
        ("deep", {"wide", "apart"}),
        ("wide", {"deep", "apart"}),
        ("caller", {"called", "deep", "wide", "apart"}),
    ],
)
def test_what_calls_a_changed_source_is_forgotten(folder, module, left):
    (folder / f"{module}.py").write_text("two = 3\n")
    forget_stale(folder)
    assert compiled(folder) == left
    assert len(list((folder / "__pycache__").glob("*.pyc"))) == len(SOURCES)


def test_what_has_no_source_any_more_is_forgotten(folder):
    (folder / "apart.py").unlink()
    forget_stale(folder)
    assert compiled(folder) == set(SOURCES) - {"apart"}


def test_all_are_forgotten_where_nobody_knows_their_sources(folder):
    (folder / "__pycache__" / "sources.json").unlink()
    forget_stale(folder)
    assert compiled(folder) == set()


def test_a_folder_that_cannot_be_written_is_left_alone(folder, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("read-only")

    (folder / "deep.py").write_text("two = 3\n")
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    forget_stale(folder)
    assert compiled(folder) == set(SOURCES)
