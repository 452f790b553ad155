"""Where layers go: the last ones on the GPU, as many as are asked for or fit; the rest on the CPU."""

import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.split import LayerSplit
from pyggml.backend.streaming import StreamingBackend
from pyggml.errors import UsageError
from pyggml.gpus import DeviceOptions
from pyggml.placement import place
from pyggml.sharing import MARGIN, Needs, Room, Sharing, explain, most, share
from pyggml_cuda import driver
from pyggml_kernels.formats import FORMATS, Format
from tests.unit.fake_gpu import NoStreams, install_gpu

N_LAYERS = 4
GIB = 1 << 30
#: Each layer takes 2 GiB, the output 1, and a batch 1.
NEEDS = Needs((2 * GIB,) * N_LAYERS + (GIB,), GIB)


class FakeBackend:
    def __init__(self, n_batch: int, n_sequences: int, number: int) -> None:
        self.arguments = n_batch, n_sequences
        self.number = number


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A GPU that is there; `unavailable` says otherwise where a test sets it."""
    return install_gpu(monkeypatch, FakeBackend)


def placed(
    n_gpu_layers: int | str,
    formats: Mapping[int, Format] = FORMATS,
    needs: Any = lambda: NEEDS,
    **options: Any,
) -> Any:
    return place(
        n_gpu_layers,
        N_LAYERS,
        options=DeviceOptions(**options),
        needs=needs,
        formats=formats,
        n_threads=2,
        n_batch=3,
        n_sequences=1,
    )


@pytest.mark.parametrize("n", [N_LAYERS + 1, 99, -1, "all", "auto"])
def test_all_layers_go_to_the_gpu(gpu: Any, n: int | str) -> None:
    placement = placed(n)
    assert placement.layers == (placement.executor,) * (N_LAYERS + 1)
    assert (placement.executor.arguments, placement.n_threads, placement.n_on_gpu) == ((3, 1), 1, N_LAYERS + 1)


def test_no_layers_stay_on_the_cpu_without_a_word(gpu: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        placement = placed(0)
    assert isinstance(placement.executor, CPUBackend)
    assert (placement.n_threads, placement.n_on_gpu) == (2, 0)
    assert placement.reason == "all layers on the CPU, as asked for"


@pytest.mark.parametrize("n", range(1, N_LAYERS + 1))
def test_the_last_layers_go_to_the_gpu_the_output_first_of_all(gpu: Any, n: int) -> None:
    placement = placed(n)
    assert isinstance(placement.executor, LayerSplit)
    assert [type(each) for each in placement.layers] == [StreamingBackend] * (N_LAYERS + 1 - n) + [FakeBackend] * n
    assert len(set(map(id, placement.layers))) == 2
    assert (placement.n_threads, placement.n_on_gpu) == (2, n)
    assert placement.reason == f"the last {n} of 5 layers on the GPU, as asked for"


@pytest.mark.parametrize(
    ("n_free", "n", "reason"),
    [
        (
            11 * GIB,
            5,
            "all 5 layers on the GPU, the output counted as one: they need 10.0 GiB; 11.0 GiB are free, 1.0 GiB of"
            " which are left",
        ),
        (
            11 * GIB - 1,
            4,
            "the last 4 of 5 layers on the GPU, the output counted as one: they need 8.0 GiB, 5 would need 10.0 GiB;"
            " 11.0 GiB are free, 1.0 GiB of which are left; a smaller context (-c) makes room",
        ),
        (
            3 * GIB,
            1,
            "the last 1 of 5 layers on the GPU, the output counted as one: they need 2.0 GiB, 2 would need 4.0 GiB;"
            " 3.0 GiB are free, 1.0 GiB of which are left; a smaller context (-c) makes room",
        ),
        (3 * GIB - 1, 0, "1 would need 2.0 GiB; 3.0 GiB are free, 1.0 GiB of which are left"),
        (0, 0, "1 would need 2.0 GiB; 0 MiB are free, 1.0 GiB of which are left"),
    ],
)
def test_what_fits_and_why(n_free: int, n: int, reason: str) -> None:
    rooms = [Room(0, n_free)]
    sharing = most(NEEDS, rooms)
    assert sharing.counts == (n,)
    assert explain(sharing, share(NEEDS, n + 1, rooms) if n < 5 else None) == reason


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3 * GIB), min_size=1, max_size=30),
    shared=st.integers(0, GIB),
    streaming=st.integers(0, 3 * GIB),
    free=st.lists(st.integers(0, 60 * GIB), min_size=1, max_size=4),
)
def test_as_many_fit_as_fit(sizes: list[int], shared: int, streaming: int, free: list[int]) -> None:
    needs, rooms = Needs(tuple(sizes), shared, streaming=streaming), [Room(number, n) for number, n in enumerate(free)]
    sharing = most(needs, rooms)
    for needed, n, n_free in zip(sharing.needed, sharing.counts, free, strict=True):
        assert not n or needed <= n_free - MARGIN
    if sharing.n < len(sizes):
        more = share(needs, sharing.n + 1, rooms)
        assert more.n == sharing.n + 1
        assert any(n and size > n_free - MARGIN for size, n, n_free in zip(more.needed, more.counts, free, strict=True))


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3 * GIB), min_size=1, max_size=6),
    shared=st.integers(0, GIB),
    free=st.lists(st.integers(2 * GIB, 60 * GIB), min_size=2, max_size=3),
)
def test_the_fullest_gpu_is_as_little_full_as_can_be(sizes: list[int], shared: int, free: list[int]) -> None:
    needs, rooms = Needs(tuple(sizes), shared), [Room(number, n) for number, n in enumerate(free)]

    def fullest(counts: tuple[int, ...]) -> float:
        needed = Sharing(needs, tuple(rooms), counts).needed
        return max(size / room.n_bytes for size, room in zip(needed, rooms, strict=True))

    n = len(sizes)
    possible = [counts for counts in product(range(n + 1), repeat=len(free)) if sum(counts) == n]
    assert fullest(share(needs, n, rooms).counts) <= min(map(fullest, possible)) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("n", "shares", "counts"),
    [
        (9, (1, 1), (5, 4)),
        (9, (3, 1), (7, 2)),
        (9, (1, 3), (3, 6)),
        (9, (1,), (9, 0)),
        (9, (0, 1), (0, 9)),
        (4, (3, 1), (3, 1)),
        (1, (1, 1), (1, 0)),
        (0, (1, 1), (0, 0)),
    ],
)
def test_given_shares(n: int, shares: tuple[float, ...], counts: tuple[int, ...]) -> None:
    # As llama.cpp: layer i goes to the first GPU whose shares, added up, exceed i / n.
    needs = Needs((GIB,) * 9, GIB)
    assert share(needs, n, [Room(0, GIB), Room(1, 99 * GIB)], shares).counts == counts


def test_shares_of_nothing_are_none() -> None:
    rooms = [Room(0, 5 * GIB), Room(1, 9 * GIB)]
    assert share(NEEDS, 5, rooms, (0, 0)).counts == share(NEEDS, 5, rooms).counts == (1, 4)


def test_layers_of_the_cpu_pass_through_the_first_gpu() -> None:
    needs, rooms = Needs((GIB,) * 5, GIB, streaming=3 * GIB), [Room(0, 99 * GIB), Room(1, 99 * GIB)]
    assert share(needs, 4, rooms, (1, 1)).needed == (6 * GIB, 3 * GIB)
    assert share(needs, 4, rooms, (0, 1)).needed == (0, 8 * GIB)
    assert share(needs, 5, rooms, (1, 1)).needed == (4 * GIB, 3 * GIB)
    assert share(needs, 0, rooms).needed == (0, 0)
    # Without layers on the CPU there is room for one more.
    assert [most(needs, [Room(0, MARGIN + n * GIB)]).n for n in (4, 5, 6, 7)] == [0, 1, 5, 5]


def test_which_gpu_computes_long_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    streaming: list[int] = []

    def streams(n_batch: int, n_sequences: int, number: int) -> NoStreams:
        assert (n_batch, n_sequences) == (3, 1)
        streaming.append(number)
        return NoStreams(n_batch, n_sequences, number)

    install_gpu(monkeypatch, FakeBackend, 3, streams)
    placed(3)
    placed(3, tensor_split=(0, 1, 1))
    assert streaming == [0, 1]
    # Nothing is streamed where nothing is on GPUs, or all, or if it is not wanted.
    for n in (0, 5):
        placed(n)
    assert isinstance(placed(3, op_offload=False).layers[0], CPUBackend)
    assert streaming == [0, 1]


def test_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    device = install_gpu(monkeypatch, FakeBackend, 3)
    device.free_bytes = lambda number: (6 * GIB, 4 * GIB, 5 * GIB)[number]
    placement = placed("auto")
    assert [backend.number for backend in placement.layers] == [0, 0, 1, 2, 2]
    assert len(set(map(id, placement.layers))) == 3
    assert placement.reason == (
        "all 5 layers on the GPUs, the output counted as one (2 on CUDA0, 1 on CUDA1, 2 on CUDA2): they need 12.0 GiB;"
        " 6.0 GiB and 4.0 GiB and 5.0 GiB are free, 1.0 GiB of which are left on each"
    )
    device.free_bytes = lambda number: (1 * GIB, 4 * GIB, 5 * GIB)[number]
    placement = placed("auto")
    assert [getattr(backend, "number", None) for backend in placement.layers] == [None, None, 1, 2, 2]
    assert placement.reason.startswith(
        "the last 3 of 5 layers on the GPUs, the output counted as one (0 on CUDA0, 1 on"
    )
    assert placed("all").advice == "use -ngl 3, a smaller context (-c) or a smaller file"


def numbers(**options: Any) -> list[int]:
    return [backend.number for backend in placed("all", **options).layers]


def test_gpus_that_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    install_gpu(monkeypatch, FakeBackend, 3)
    assert numbers(devices=("CUDA2", "CUDA0"), tensor_split=(2, 3)) == [2, 2, 0, 0, 0]
    assert numbers(tensor_split=(1, 0, 4)) == [0, 2, 2, 2, 2]
    assert numbers(split_mode="none") == [0] * 5
    assert numbers(split_mode="none", main_gpu=2, tensor_split=(1, 1)) == [2] * 5
    assert numbers(split_mode="none", main_gpu=1, devices=("CUDA0", "CUDA2")) == [2] * 5
    assert placed(3, tensor_split=(0, 2, 1)).reason == (
        "the last 3 of 5 layers on the GPUs (0 on CUDA0, 2 on CUDA1, 1 on CUDA2), as asked for"
    )
    placement = placed("all", devices=("none",))
    assert isinstance(placement.executor, CPUBackend)
    assert placement.reason == "all layers on the CPU, as asked for"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": ("CUDA3",)}, "device is 'CUDA3'; allowed are CUDA0, CUDA1, CUDA2, and 'none' alone"),
        ({"devices": ("CUDA0", "none")}, "device is 'none'; allowed are CUDA0"),
        ({"devices": ("CUDA0", "CUDA0")}, "device is 'CUDA0,CUDA0'; each GPU is named once, and one at least"),
        ({"devices": ()}, "device is ''; each GPU is named once"),
        (
            {"split_mode": "row"},
            "split_mode is 'row'; allowed are 'layer', each GPU has some .* matrices are not split",
        ),
        ({"split_mode": "none", "main_gpu": 3}, "main_gpu is 3; allowed are 0 to 2: CUDA0, CUDA1, CUDA2"),
        ({"main_gpu": -1}, "main_gpu is -1; allowed are 0 and up"),
        ({"tensor_split": (1, -1)}, "tensor_split holds -1; allowed are numbers from 0, such as 3,1"),
        ({"tensor_split": (1, 1, 1, 1)}, "tensor_split has 4 shares, for 3 GPUs: CUDA0, CUDA1, CUDA2"),
    ],
)
def test_choices_that_cannot_be(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str) -> None:
    install_gpu(monkeypatch, FakeBackend, 3)
    with pytest.raises(UsageError, match=message):
        placed("all", **options)


def test_a_gpu_that_is_named_has_to_be_there(gpu: Any) -> None:
    gpu.unavailable = lambda: "the CUDA driver finds no GPU"
    with pytest.raises(UsageError, match="device is 'CUDA0'; the CUDA driver finds no GPU"):
        placed("auto", devices=("CUDA0",))


def test_auto_takes_what_is_free(gpu: Any) -> None:
    gpu.free_bytes = lambda number: 8 * GIB
    placement = placed("auto")
    assert placement.n_on_gpu == placement.n_fitting == 3
    assert placement.reason.startswith(
        "the last 3 of 5 layers on the GPU, the output counted as one: they need 6.0 GiB"
    )


def test_auto_without_room_says_so(gpu: Any) -> None:
    gpu.free_bytes = lambda number: 2 * GIB
    with pytest.warns(RuntimeWarning, match="none on a GPU: 1 would need 2.0 GiB; 2.0 GiB are free, 1.0 GiB of which"):
        assert isinstance(placed("auto").executor, CPUBackend)


def test_a_full_gpu_gets_advice(gpu: Any) -> None:
    gpu.free_bytes = lambda number: 8 * GIB
    assert placed("all").advice == "use -ngl 3, a smaller context (-c) or a smaller file"
    # What was counted was not enough.
    assert placed(3).advice == "use -ngl 2, a smaller context (-c) or a smaller file"


def test_a_model_that_a_gpu_does_not_take(gpu: Any) -> None:
    def refuse() -> Needs:
        raise UsageError("cache_type_k is q8_0")

    with pytest.raises(UsageError, match="cache_type_k is q8_0"):
        placed(3, needs=refuse)
    with pytest.warns(RuntimeWarning, match="all layers run on the CPU, none on a GPU: cache_type_k is q8_0"):
        assert isinstance(placed("auto", needs=refuse).executor, CPUBackend)


def test_words_that_mean_nothing(gpu: Any) -> None:
    with pytest.raises(UsageError, match="n_gpu_layers is 'most'; allowed are a number of layers, 'auto' and 'all'"):
        placed("most")


@pytest.mark.parametrize("n", [99, "auto"])
def test_formats_of_ones_own_stay_on_the_cpu(gpu: Any, n: int | str) -> None:
    own = replace(FORMATS[2], name="NF4", type_id=0x70000001)
    with pytest.warns(RuntimeWarning, match=r"none on a GPU: formats of one's own \(NF4\) are for the CPU"):
        assert isinstance(placed(n, {**FORMATS, own.type_id: own}).executor, CPUBackend)
    with pytest.raises(UsageError, match="override_tensor names 'CUDA0'; formats of one's own"):
        placed(0, {**FORMATS, own.type_id: own}, override_tensor=(("ffn", "CUDA0"),))


def test_no_gpu(gpu: Any) -> None:
    gpu.unavailable = lambda: "the CUDA driver finds no GPU"
    with pytest.warns(RuntimeWarning, match="all layers run on the CPU, none on a GPU: the CUDA driver finds no GPU"):
        assert isinstance(placed(99).executor, CPUBackend)


def test_no_driver(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyggml_cuda.driver.is_installed", lambda: False)
    with pytest.warns(
        RuntimeWarning, match="none on a GPU: there is no CUDA driver on this machine; NVIDIA's is needed"
    ):
        assert isinstance(placed(99).executor, CPUBackend)


def test_no_cupy(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyggml_cuda.device", None)
    with pytest.warns(RuntimeWarning, match=r"CuPy cannot be imported \(.*\); pip install 'pyggml\[cuda\]'"):
        assert isinstance(placed(99).executor, CPUBackend)


def test_auto_needs_no_gpu(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyggml_cuda.device", None)
    placement = placed("auto")
    assert isinstance(placement.executor, CPUBackend)
    assert "CuPy cannot be imported" in placement.reason


def test_without_a_driver_cupy_is_not_imported() -> None:
    code = """
import sys
from pyggml_cuda import driver
driver.is_installed = lambda: False
import pyggml
model = pyggml.load(pyggml.demo_model(), n_ctx=256, n_threads=1, n_gpu_layers="auto")
sys.exit("cupy" in sys.modules or model.placement.n_on_gpu)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_driver_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    for load_library, is_installed in ((refuse, False), (str, True)):
        monkeypatch.setattr("ctypes.CDLL", load_library)
        driver.library.cache_clear()
        assert driver.is_installed() == is_installed
    driver.library.cache_clear()
