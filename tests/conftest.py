import os
from pathlib import Path

import pytest

from streamfit.stream import job
from streamfit.stream.job import resident


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
