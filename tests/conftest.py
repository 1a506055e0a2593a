import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data: $STREAM_FIT_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STREAM_FIT_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set STREAM_FIT_DATA to the folder that holds them")
    return folder
