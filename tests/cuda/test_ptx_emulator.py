"""The emulator itself: what instructions compute, and what it does not let pass."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_reference.ptx import EmulationError, Program, arithmetic, launch
from pyggml_reference.ptx.threads import Grid
from tests.cuda.emulation import Emulator
from tests.cuda.nvrtc import compile_to_ptx

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**60), max_value=2.0**60)
WORDS = st.integers(0, 2**32 - 1)
N = 64


def run(body: str, data: np.ndarray, n_threads: int = N) -> np.ndarray:
    """What a kernel with this body leaves in the words of `data`, one block of threads."""
    source = f'extern "C" __global__ void kernel(unsigned* data) {{ const int i = threadIdx.x; {body} }}'
    text, _ = compile_to_ptx(source, "kernel.cu", "kernel", 90)
    emulator = Emulator(1 << 16)
    address = emulator.put(data)
    launch(Program(text), "kernel", Grid((1, 1, 1), n_threads), address.to_bytes(8, "little"), emulator.memory)
    return emulator.get(address, data.dtype, data.shape)


@settings(max_examples=200, deadline=None)
@given(a=FLOATS, b=FLOATS, c=FLOATS)
def test_a_product_is_added_with_one_rounding(a: float, b: float, c: float) -> None:
    x, y, z = (np.array([each], np.float32) for each in (a, b, c))
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    nearest = np.float32(arithmetic.fused_multiply_add(x, y, z)[0])
    down = np.float32(arithmetic.fused_multiply_add(x, y, z, "rm")[0])
    if not np.isfinite(nearest):
        return
    for neighbour in (np.nextafter(nearest, np.float32(-np.inf)), np.nextafter(nearest, np.float32(np.inf))):
        if np.isfinite(neighbour):
            assert abs(Fraction(float(nearest)) - exact) <= abs(Fraction(float(neighbour)) - exact)
    assert Fraction(float(down)) <= exact
    above = np.nextafter(down, np.float32(np.inf))
    assert not np.isfinite(above) or Fraction(float(above)) > exact


@settings(max_examples=100, deadline=None)
@given(a=WORDS, b=WORDS, selector=st.integers(0, 0xFFFF))
def test_bytes_are_chosen(a: int, b: int, selector: int) -> None:
    both = (a | b << 32).to_bytes(8, "little")
    choices = [selector >> 4 * i & 15 for i in range(4)]
    expected = bytes(0xFF * (both[c & 7] >> 7) if c & 8 else both[c & 7] for c in choices)
    (found,) = arithmetic.permute_bytes(*(np.array([each], np.uint32) for each in (a, b, selector)))
    assert int(found).to_bytes(4, "little") == expected


@settings(max_examples=50, deadline=None)
@given(x=st.integers(-(2**31), 2**31 - 1), count=st.integers(0, 40))
def test_shifts_know_their_end(x: int, count: int) -> None:
    signed, n = np.array([x], np.int32), np.array([count], np.uint32)
    assert arithmetic.shift(signed, n, left=False)[0] == x >> min(count, 31)
    assert arithmetic.shift(signed.view(np.uint32), n, left=True)[0] == (x << count) % 2**32 * (count < 32)


def test_threads_part_and_meet_again() -> None:
    data = np.arange(N, dtype=np.uint32)
    body = "unsigned x = 0; for (int k = 0; k < i % 7; ++k) x += k % 2 ? data[k] : 3; data[i] = i % 3 ? x : 7;"
    expected = [sum(k if k % 2 else 3 for k in range(i % 7)) if i % 3 else 7 for i in range(N)]
    # Thread i reads words below 7, which threads 0 to 6 may have written: they all write last.
    assert run(f"{body.replace('data[i] =', '__syncthreads(); data[i] =')}", data).tolist() == expected


def test_lanes_exchange_and_vote() -> None:
    data = np.arange(N, dtype=np.uint32)
    assert run("data[i] = __shfl_xor_sync(~0u, data[i], 5);", data).tolist() == [i ^ 5 for i in range(N)]
    assert run("data[i] = __ballot_sync(~0u, data[i] % 3 == 0);", data)[0] == sum(1 << i for i in range(0, 32, 3))


def test_a_block_waits_at_its_barrier() -> None:
    body = "__shared__ unsigned x[64]; x[i] = data[i]; __syncthreads(); data[i] = x[63 - i];"
    assert run(body, np.arange(N, dtype=np.uint32)).tolist() == list(range(63, -1, -1))


def test_a_warp_s_own_barrier_orders_its_lanes() -> None:
    body = "__shared__ unsigned x[64]; x[i] = data[i]; __syncwarp(); data[i] = x[i ^ 1];"
    assert run(body, np.arange(N, dtype=np.uint32)).tolist() == [i ^ 1 for i in range(N)]


def test_copies_are_late_unless_waited_for() -> None:
    copy = (
        "__shared__ __align__(16) unsigned x[256]; x[4 * i] = 1; __syncthreads();"
        ' asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::'
        ' "r"((unsigned)__cvta_generic_to_shared(x + 4 * i)), "l"(data + 4 * (i / 4)) : "memory");'
        " {wait} data[i] = x[4 * i];"
    )
    data = np.arange(N, dtype=np.uint32) + 100
    waited = run(copy.replace("{wait}", 'asm volatile("cp.async.wait_all;" ::: "memory"); __syncthreads();'), data)
    assert waited.tolist() == [100 + i // 4 * 4 for i in range(N)]
    assert run(copy.replace("{wait}", ""), data).tolist() == [1] * N


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("data[i + 1] = 0;", "4 bytes at 0x[0-9a-f]+ are not allocated"),
        ("*(unsigned*)((char*)data + 2 * (i % 2)) = 0;", "not a multiple of 4"),
        ("__shared__ unsigned x[4]; x[data[i] * 100000] = 1; __syncthreads(); data[i] = x[0];", "outside of shared"),
        ("if (i % 2) data[i] = __shfl_xor_sync(~0u, data[i], 2);", "not all lanes of a warp"),
        ("__shared__ unsigned x[64]; x[i] = data[i]; data[i] = x[63 - i];", "a race: thread .* nothing orders"),
        ("__shared__ unsigned x[64]; x[i] = data[i]; data[i] = x[i ^ 1];", "a race: thread .* nothing orders"),
        (
            "__shared__ unsigned x[64]; x[i] = 1; __syncthreads(); data[i] = x[63 - i]; x[i] = data[i] + 1; "
            "__syncthreads(); data[i] += x[i ^ 40];",
            "a race: thread .* overwrites",
        ),
        (
            "__shared__ unsigned x; x = 0; __syncthreads(); atomicAdd(&x, i); data[i] = x;",
            "a race: bytes that another warp changed atomically",
        ),
        ("__shared__ unsigned x; if (!i) x = 0; data[i] = atomicAdd(&x, i);", "a race: thread .* nothing orders"),
        ('if (data[i]) asm volatile("bar.sync 1, 64;");', "wait for ever, at barriers"),
    ],
)
def test_what_hardware_would_punish(body: str, message: str) -> None:
    with pytest.raises(EmulationError, match=message):
        run(body, np.arange(N, dtype=np.uint32))


def test_atomic_changes_give_what_was_there() -> None:
    body = (
        "__shared__ unsigned x; if (!i) x = 5; __syncthreads(); unsigned found = atomicAdd(&x, data[i]);"
        " __syncthreads(); data[i] = found * 10000 + x;"
    )
    data = np.arange(N, dtype=np.uint32)
    found = run(body, data)
    before = 5 + np.cumsum(data) - data
    assert found.tolist() == (before * 10000 + 5 + data.sum()).tolist()


def test_an_instruction_that_is_not_known_is_named() -> None:
    with pytest.raises(EmulationError, match=r"instruction \d+, atom\.global\.exch.*'exch'"):
        run("data[i] = atomicExch(data + 3, data[i + 1 & 63]);", np.arange(N, dtype=np.uint32))
