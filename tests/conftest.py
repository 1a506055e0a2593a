import os
from pathlib import Path

import pytest

from streamfit.stream import job
from streamfit.stream.job import resident

# Files whose tests call compiled functions, those first that compile nearly all of them.
COMPILE_MOST = ("bench", "component_rows")
COMPILED = frozenset(
    """cholesky compare_samplers components demo explore fit_graph full_posterior importance inspect
    mdn memory neighbours optical posterior posterior_rows profile real_data reduced_fitter resume
    scan scatter score_map varpro varpro_limits""".split()
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker compile while the others run what needs nothing compiled.

    A file's tests stay together, and with them its fixtures.
    """

    def place(item: pytest.Item) -> int:
        name = item.path.stem.removeprefix("test_")
        return 0 if name in COMPILE_MOST else 2 if name in COMPILED else 1

    items.sort(key=place)
    for item in items:
        name = item.path.stem if place(item) else "compile most"
        item.add_marker(pytest.mark.xdist_group(name))


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
