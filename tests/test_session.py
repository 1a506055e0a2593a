import pytest

from streamfit.io.errors import DeviceError
from streamfit.models.session import DeviceMissingError, resolve_device
from streamfit.stream.stage import find_device


@pytest.mark.parametrize("spec", ["auto", "cpu"])
def test_fits_run_on_the_cpu(spec):
    assert resolve_device(spec) == ("cpu",)
    assert find_device(spec) == "cpu"


@pytest.mark.parametrize("spec", ["cuda", "cuda:0", "cuda:0,1"])
def test_a_gpu_that_cannot_be_had_is_an_error_and_never_the_cpu(spec):
    with pytest.raises(
        DeviceMissingError, match=r"lists .*CPUExecutionProvider.*use --device auto"
    ):
        resolve_device(spec)
    with pytest.raises(DeviceError, match=spec):
        find_device(spec)


@pytest.mark.parametrize("spec", ["gpu", "cuda:", "cuda:a", ""])
def test_a_misspelt_device_is_refused(spec):
    with pytest.raises(ValueError, match="none of auto, cpu, cuda"):
        resolve_device(spec)
