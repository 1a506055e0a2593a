import ctypes
import re

import pytest

from streamfit.io.errors import DeviceError
from streamfit.kernels import varpro
from streamfit.models import session
from streamfit.models.fit_graph import DevicePool, choose_fitter
from streamfit.models.session import DeviceMissingError, open_session, resolve_device
from streamfit.stream.cli import main
from streamfit.stream.stage import find_devices, provider_name

without_gpu = pytest.mark.skipif(session.cuda_devices() > 0, reason="this machine has a GPU")
GRAPHS = sorted(session.WEIGHTS.glob("fit_*.onnx"))


@pytest.fixture
def driver_of_two(monkeypatch):
    """Make the machine look like one with an NVIDIA driver and two GPUs."""
    monkeypatch.setattr(session, "cuda_devices", lambda: 2)


@pytest.mark.parametrize("spec", ["cpu", "auto"])
def test_fits_run_on_the_cpu(spec):
    assert resolve_device(spec) == ("cpu",)
    assert find_devices(spec) == ("cpu",)
    assert choose_fitter(("cpu",)) is varpro.fit
    assert provider_name(("cpu",)) == "numba on cpu"


@without_gpu
@pytest.mark.parametrize("spec", ["cuda", "cuda:0", "cuda:0,1"])
def test_a_gpu_that_cannot_be_had_is_an_error_and_never_the_cpu(spec):
    wanted = r"device cuda:0: .*driver knows 0 devices.*lists .*CPUExecutionProvider.*--device auto"
    with pytest.raises(DeviceMissingError, match=wanted):
        resolve_device(spec)
    with pytest.raises(DeviceError, match="cuda:0"):
        find_devices(spec)


@without_gpu
def test_a_session_that_falls_back_to_the_cpu_in_silence_is_found_out(driver_of_two, capfd):
    with pytest.raises(DeviceMissingError, match="a session got CPUExecutionProvider"):
        resolve_device("cuda:1")
    assert capfd.readouterr() == ("", "")


@without_gpu
def test_the_command_ends_with_exit_code_3_and_one_line(tmp_path, capsys):
    arguments = ["optical", "cube.fits", "-o", str(tmp_path / "run"), "--device", "cuda"]
    assert main(arguments) == 3
    assert re.fullmatch(r"stream-fit: --device cuda:0: no CUDA .*\n", capsys.readouterr().err)


def test_a_device_that_the_driver_does_not_know_is_named(driver_of_two):
    with pytest.raises(DeviceMissingError, match=r"cuda:2: .*knows 2 devices"):
        resolve_device("cuda:2")


def test_every_device_is_opened_once_and_in_order(monkeypatch):
    opened = []
    monkeypatch.setattr(session, "open_session", lambda graph, device: opened.append(device))
    assert resolve_device("cuda:1,0,1") == ("cuda:1", "cuda:0")
    assert opened == ["cuda:1", "cuda:0"]
    assert resolve_device("cuda") == ("cuda:0",)
    assert provider_name(("cuda:1", "cuda:0")) == "onnxruntime on cuda:1, cuda:0"


@pytest.mark.parametrize("spec", ["gpu", "cuda:", "cuda:a", ""])
def test_a_misspelt_device_is_refused(spec):
    with pytest.raises(ValueError, match="none of auto, cpu, cuda"):
        resolve_device(spec)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_a_session_runs_on_one_thread_that_sleeps_while_it_waits(graph):
    found = open_session(graph, "cpu")
    options = found.get_session_options()
    assert found.get_providers()[0] == "CPUExecutionProvider"
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_driver_that_does_not_start_has_no_devices(monkeypatch):
    class Driver:
        def cuInit(self, flags):
            return 999

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert session.cuda_devices() == 0


def test_a_pool_uses_the_device_that_is_free(monkeypatch):
    calls = []

    class Fitter:
        def __init__(self, device):
            self.device = device

        def __call__(self, depth):
            calls.append(self.device)
            if depth:
                pool(depth - 1)  # as another thread would meanwhile

    monkeypatch.setattr("streamfit.models.fit_graph.GraphFitter", Fitter)
    pool = DevicePool(("cuda:0", "cuda:1"))
    pool(1)
    pool(0)
    assert calls == ["cuda:0", "cuda:1", "cuda:1"]
