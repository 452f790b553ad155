"""A format of one's own: what its functions compile to, and every way in which it can be wrong."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.formats import OwnFormat, own_format
from pyggml_kernels.formats.own_functions import fingerprint
from pyggml_kernels.private_types import FIRST_PRIVATE_TYPE, LAST_PRIVATE_TYPE, is_private_type, private_type_id
from pyggml_kernels.threads import WorkerPool

Floats = npt.NDArray[np.float32]

N = 16
LAYOUT = np.dtype([("scale", "f2"), ("halves", "f2", 2), ("levels", "i1", N), ("wide", "i4"), ("x", "f8")])
SHIFT = 3


def quantize(weights: Any, importance: Any, block: Any) -> None:
    """Levels of a scale; of the importance only a trace is kept."""
    block.scale = np.abs(weights).max() / 127
    block.halves[0] = importance[1]
    block.halves[1] = block.scale + 1
    block.wide = shifted(70_000)
    block.x = 1 / 3
    for i in range(N):
        block.levels[i] = level(weights[i], block.scale)


def level(weight: Any, scale: Any) -> Any:
    """A helper, to be compiled along."""
    return 0 if scale == 0 else round(weight / scale)


def shifted(number: Any) -> Any:
    """Another one, which names a number."""
    return number << SHIFT


def dequantize(block: Any, weights: Any) -> None:
    for i in range(N):
        weights[i] = block.scale * np.float32(block.levels[i])


def made(**changes: Any) -> OwnFormat:
    given: dict[str, Any] = {"layout": LAYOUT, "block_size": N, "quantize": quantize, "dequantize": dequantize}
    return own_format(changes.pop("name", "MINE"), **{**given, **changes})


MINE = made()


def expected_blocks(rows: Floats, importance: Floats | None = None) -> npt.NDArray[np.void]:
    """What `quantize` does, written with arrays."""
    weights = rows.reshape(-1, N)
    blocks = np.zeros(len(weights), LAYOUT)
    largest: Floats = np.abs(weights).max(axis=1)
    blocks["scale"] = largest.astype(np.float64) / 127
    scale: Floats = blocks["scale"].astype(np.float32)
    columns = np.ones(rows.shape[1], np.float32) if importance is None else importance
    blocks["halves"][:, 0] = np.tile(columns.reshape(-1, N)[:, 1], len(rows))
    blocks["halves"][:, 1] = scale + np.float32(1)
    blocks["wide"], blocks["x"] = 70_000 << SHIFT, 1 / 3
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = np.where(scale[:, None] == 0, 0, np.rint(weights / scale[:, None]))
    # What is assigned is cut to the width of the field.
    blocks["levels"] = levels.astype(np.int64).astype(np.int8)
    return blocks


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), shape=st.tuples(st.integers(0, 9), st.integers(1, 5)), with_importance=st.booleans())
def test_quantizing_and_decoding(seed: int, shape: tuple[int, int], with_importance: bool) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((shape[0], shape[1] * N)).astype(np.float32)
    rows[: len(rows) // 4] = 0
    importance = random.random((rows.shape[1],)).astype(np.float32) if with_importance else None
    data = MINE.quantize(rows, importance)
    blocks = expected_blocks(rows, importance)
    assert data.tobytes() == blocks.tobytes()
    scale = blocks["scale"].astype(np.float32)[:, None]
    assert np.array_equal(MINE.dequantize(data).reshape(-1, N), scale * blocks["levels"].astype(np.float32))


def test_workers_share_the_rows_and_the_weights_stay_as_they_are() -> None:
    def spoil(weights: Any, importance: Any, block: Any) -> None:
        block.x = weights[0]
        weights[:] = 7
        importance[:] = 7

    form = made(quantize=spoil)
    rows, importance = np.arange(6000 * N, dtype=np.float32).reshape(-1, 2 * N), np.ones(2 * N, np.float32)
    before = rows.copy()
    pool = WorkerPool(2)
    data = form.quantize(rows, importance, pool)
    assert np.array_equal(data.reshape(-1).view(LAYOUT)["x"], before.reshape(-1, N)[:, 0])
    assert np.array_equal(rows, before)
    assert np.array_equal(importance, np.ones(2 * N, np.float32))


def test_every_half_is_read_and_rounded_as_ieee_says() -> None:
    def keep(weights: Any, importance: Any, block: Any) -> None:
        block.one = weights[0]
        block.many[0] = weights[0]

    def show(block: Any, weights: Any) -> None:
        weights[0] = block.one
        weights[1] = block.many[0]

    form = made(layout=[("one", "f2"), ("many", "f2", 1)], block_size=2, quantize=keep, dequantize=show)
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    with np.errstate(invalid="ignore"):
        floats = halves.astype(np.float32)
    decoded = form.dequantize(np.repeat(halves, 2).view(np.uint8)).reshape(-1, 2)
    assert np.array_equal(decoded, np.stack([floats, floats], 1), equal_nan=True)
    finite = floats[np.isfinite(floats)]
    between = np.concatenate([finite, (finite[1:] + finite[:-1]) / 2, np.nextafter(finite, np.float32(np.inf))])
    rows = np.stack([between, np.zeros_like(between)], 1)
    with np.errstate(over="ignore"):
        expected = np.stack([between, between], 1).astype(np.float16)
    assert form.quantize(rows).tobytes() == expected.tobytes()


def test_numbers_are_private_and_follow_from_the_name() -> None:
    # The CRC-32 of "MINE" is 5f3d3e27.
    assert MINE.type_id == private_type_id("MINE") == 0x7F3D3E27
    assert is_private_type(MINE.type_id)
    assert FIRST_PRIVATE_TYPE <= private_type_id("A") != private_type_id("B") <= LAST_PRIVATE_TYPE
    assert not is_private_type(42)
    assert MINE.source == __file__
    assert (MINE.block_bytes, MINE.row_bytes(2 * N)) == (34, 68)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "mine"}, "'mine' is no name of a format: allowed are 1 to 32 of A to Z, 0 to 9 and _"),
        ({"name": "A" * 33}, "is no name of a format"),
        ({"name": ""}, "'' is no name of a format"),
        ({"block_size": 0}, "the block size of MINE is 0; allowed are 1 to 65536"),
        ({"block_size": 65537}, "the block size of MINE is 65537"),
        ({"layout": "nonsense"}, "the layout 'nonsense' is no structured dtype of NumPy"),
        ({"layout": np.float32}, "the layout float32 has no fields; needed is a structured dtype such as"),
        (
            {"layout": [("a", object)]},
            "the field 'a' of the layout has the type object; allowed are little-endian",
        ),
        ({"layout": [("a", ">f4")]}, "the field 'a' of the layout has the type >f4; allowed are little-endian"),
        ({"layout": [("a", "S4")]}, r"the field 'a' of the layout has the type \|S4"),
        ({"layout": [("a", np.longdouble)]}, "the field 'a' of the layout has the type float128"),
        ({"layout": [("a", [("b", "u1")])]}, "the field 'a' of the layout has the type"),
        ({"layout": [("a b", "u1")]}, "the field 'a b' of the layout has no name that Python could read"),
        ({"layout": [("a", "u1", 0), ("b", "u1")]}, "the field 'a' of the layout has no name .* or no bytes"),
        ({"layout": [("a", "u1", 65537)]}, "the layout takes 65537 bytes; allowed are 1 to 65536"),
        (
            {"layout": {"names": ["a", "b"], "formats": ["u4", "u1"], "offsets": [0, 3]}},
            "the field 'b' of the layout begins at byte 3, within the field 'a'",
        ),
        (
            {"quantize": lambda weights, block: None},
            r"quantize takes \(weights, block\); needed is quantize\(we",
        ),
        ({"dequantize": lambda block: None}, r"dequantize takes \(block\); needed is dequantize\(block, weights\)"),
        (
            {"dequantize": print},
            "dequantize is <built-in function print>; needed is a plain Python function",
        ),
    ],
)
def test_what_cannot_be_a_format(changes: dict[str, Any], message: str) -> None:
    if sys.platform == "win32" and "float128" in message:
        pytest.skip("Windows has no longer double")
    with pytest.raises(ValueError, match=message):
        made(**changes)


def beyond_codes(weights: Any, importance: Any, block: Any) -> None:
    if weights[0] > 1:
        block.levels[int(weights[0])] = 1


def beyond_weights(block: Any, weights: Any) -> None:
    weights[:] = 0
    weights[N + block.wide] = 1


def half_of_them(block: Any, weights: Any) -> None:
    for i in range(N // 2):
        weights[i] = 0


def wrong_shape(block: Any, weights: Any) -> None:
    weights[:] = np.zeros(N + block.wide, np.float32) + np.ones(1, np.float32)
    weights[:] = np.zeros(N - 1 + block.wide, np.float32)


def unknown_field(block: Any, weights: Any) -> None:
    weights[:] = block.scael


def untyped(weights: Any, importance: Any, block: Any) -> None:
    block.scale = "1"


def test_writing_beyond_the_block_is_an_error_that_names_block_and_line() -> None:
    form = made(quantize=beyond_codes)
    rows = np.zeros((3, 2 * N), np.float32)
    assert not form.quantize(rows).any()
    rows[2, N] = N
    line = beyond_codes.__code__.co_firstlineno + 2
    message = (
        f"quantize of MINE failed in row 2, block 1: IndexError: index 16 is out of bounds for axis 0 with size 16 "
        f"(test_own_format.py, line {line})"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        form.quantize(rows)


def test_an_error_that_python_does_not_raise_is_still_told() -> None:
    def raises(weights: Any, importance: Any, block: Any) -> None:
        # For Numba the product has 64 bits, for NumPy 32: there it is infinite.
        if 1e59 < weights[0] * 1e30 * 1e30 < 1e61:
            raise ValueError

    form = made(quantize=raises)
    with pytest.raises(ValueError, match="quantize of MINE failed in row 0, block 0: an exception, which it does not"):
        form.quantize(np.ones((1, N), np.float32))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            beyond_weights,
            r"dequantize of MINE failed at block 0: IndexError: index 16 is .*\.py, line \d+",
        ),
        (wrong_shape, "dequantize of MINE failed at block 0: ValueError: could not broadcast"),
        (half_of_them, "dequantize of MINE left weight 8 of 16 unwritten"),
        (unknown_field, "dequantize of MINE cannot be compiled: .*a block has no field 'scael'; it has scale, halves"),
    ],
)
def test_what_dequantize_can_do_wrong(function: Callable[..., None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(dequantize=function).verify()


def test_a_damaged_block_is_an_error_and_in_a_running_model_not_a_number() -> None:
    def look_up(block: Any, weights: Any) -> None:
        for i in range(N):
            weights[i] = TABLE[block.levels[i]]

    form = made(dequantize=look_up)
    form.verify()
    data = np.zeros(2, LAYOUT)
    data["levels"][1, 3] = 100
    with pytest.raises(ValueError, match="dequantize of MINE failed at block 1: IndexError: index 100 is"):
        form.dequantize(data.view(np.uint8))
    guarded = np.full(2 * N + 2, 5, np.float32)
    form.load(data.ctypes.data, 2 * N, guarded.ctypes.data + 4)
    assert np.isnan(guarded[1 + N : 1 + 2 * N]).all()
    assert not guarded[1 : 1 + N].any()
    assert guarded[[0, -1]].tolist() == [5, 5]


TABLE = np.zeros(4, np.float32)


def test_what_is_not_a_number_is_no_error() -> None:
    def not_a_number(block: Any, weights: Any) -> None:
        weights[:] = np.nan

    form = made(dequantize=not_a_number)
    form.verify()
    assert np.isnan(form.dequantize(np.zeros(34, np.uint8))).all()


def test_a_quantizer_that_cannot_be_compiled_is_an_error() -> None:
    with pytest.raises(ValueError, match="quantize of MINE cannot be compiled: "):
        made(quantize=untyped).quantize(np.zeros((1, N), np.float32))


def test_fingerprints_tell_versions_apart() -> None:
    def version(number: float, table: npt.NDArray[np.float32], text: str = "x * table[0]") -> str:
        names: dict[str, Any] = {"number": number, "table": table, "np": np}
        exec(f"def helper(x): return {text}\ndef function(x): return np.floor(helper(x) + number)", names)
        return fingerprint(names["function"])

    table = np.zeros(3, np.float32)
    assert version(1, table) == version(1, table.copy())
    different = {
        version(1, table),
        version(2, table),
        version(1, table + 1),
        version(1, table.astype(np.float64)),
        version(1, table, "x * table[1]"),
        version(1, table, "x / table[0]"),
    }
    assert len(different) == 6


def test_fingerprints_see_helpers_of_other_modules_and_closures() -> None:
    def version(table: list[float], constant: int) -> str:
        module = type(sys)("helpers")
        exec(f"LIMIT = {constant}\ndef helper(x): return x + LIMIT", module.__dict__)
        names: dict[str, Any] = {"helpers": module}
        exec("def function(x): return helpers.helper(x)", names)

        def closure() -> object:
            return table

        return fingerprint(names["function"], closure)

    assert version([1.0], 1) == version([1.0], 1)
    assert len({version([1.0], 1), version([2.0], 1), version([1.0], 2)}) == 3


_PROGRAM = """
import sys
import numpy as np
from pyggml_kernels.formats import own_format
from pyggml_kernels.jit import Kernel
Kernel.on_compile = staticmethod(lambda name: sys.stdout.write("compiling "))
FACTOR = {factor}
def quantize(weights, importance, block):
    block.x = weights[np.argmax(np.abs(weights))]
def dequantize(block, weights):
    weights[0] = helper(block.x)
def helper(x):
    return x * FACTOR
form = own_format("CACHED", layout=[("x", np.float32)], block_size=1, quantize=quantize, dequantize=dequantize)
print(form.dequantize(form.quantize(np.ones((1, 1), np.float32)))[0])
"""


def test_the_cache_is_used_and_never_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "cached.py"

    def run(factor: int) -> str:
        file.write_text(_PROGRAM.format(factor=factor))
        return subprocess.run([sys.executable, str(file)], check=True, capture_output=True, text=True).stdout.strip()

    assert [run(2), run(2), run(3)] == ["compiling compiling 2.0", "2.0", "compiling 3.0"]
