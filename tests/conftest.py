import os
from pathlib import Path

import pytest

from streamfit.stream import job
from streamfit.stream.job import resident

# What integrates posteriors compiles for most of a minute, once where one worker has it all.
_COMPILED_TOGETHER = {
    name: "posteriors"
    for name in (
        "test_compare_samplers",
        "test_component_rows",
        "test_explore",
        "test_importance",
        "test_neighbours",
        "test_posterior",
        "test_posterior_dynesty",
        "test_posterior_rows",
    )
}


def pytest_collection_modifyitems(items):
    """Keep a file's tests on one worker, and with them those that compile the same kernels."""
    for item in items:
        name = item.path.stem
        item.add_marker(pytest.mark.xdist_group(_COMPILED_TOGETHER.get(name, name)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data: $STREAM_FIT_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STREAM_FIT_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set STREAM_FIT_DATA to the folder that holds them")
    return folder


@pytest.fixture(autouse=True, scope="session")
def room():
    """Plan runs inside the test process as if they had begun it, not after all it has compiled.

    For the whole session, since fixtures of modules run things too. `test_memory.py` watches
    processes of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "resident", lambda: min(400 * 2**20, resident()))
        yield
