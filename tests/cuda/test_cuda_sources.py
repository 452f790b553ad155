"""Every CUDA source compiles for every generation of GPUs, without one, and lays out arguments as Python does."""

import numpy as np
import pytest

from pyggml_cuda import attention, cache, convert, matmul, pack, pack_decoded, patch_attention, rope, sections
from pyggml_cuda.sources import DIRECTORY, program
from tests.cuda.nvrtc import CompileError, compile_program

ARCHITECTURES = (75, 80, 86, 89, 90, 100)
HEADERS = tuple(sorted(f"formats/{path.name}" for path in (DIRECTORY / "formats").iterdir()))
FORMATS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q4_0", "Q5_0", "Decoded<16, true>", "Decoded<32, false>")

KERNELS = {
    "attention.cu": [
        "attend<CacheHalf, CacheHalf, 128, 128, 8, 1, 4, 3>",
        "attend<CacheHalf, CacheHalf, 128, 128, 16, 4, 1, 4>",
        "attend<CacheFloat, CacheBfloat, 64, 32, 16, 4, 1, 1>",
        "attend<CacheQ8_0, CacheQ8_0, 128, 128, 8, 1, 4, 3>",
    ],
    "convert.cu": [
        "convert<Plain, Floats>",
        "convert<RMSNorm, Quantized<Block::Q8_K, Sums::WHOLE, 32>>",
        "convert<SwiGLU, Quantized<Block::Q8_0, Sums::NONE, 32>>",
        "convert<LayerNorm, Rounded<false>>",
        "convert<GELU<false>, Rounded<true>>",
        "convert<GELU<true>, Quantized<Block::Q8_0, Sums::NONE, 32>>",
        "convert<Splits, Quantized<Block::Q8_1, Sums::FLOATS, 32>>",
        "convert<RMSNorm, HalfLevels<32>>",
        "convert<Plain, HalfLevels<16>>",
        "convert<Plain, Rounded<true>>",
        "convert<Plain, Rounded<false>>",
    ],
    "dot_rows.cu": ["dot_rows<Half, 1>", "dot_rows<Bfloat, 4>", "dot_rows<Float, 8>", "finish_product"],
    "largest.cu": ["group_maxima", "largest"],
    "matmul_few.cu": [f"matmul_few<{each}, 1>" for each in FORMATS] + ["matmul_few<Q4_K, 8>", "matmul_few<Q8_0, 16>"],
    "matmul_many.cu": ["matmul_many<Q3_K, 64, 4>", "matmul_many<Q4_K, 32, 8>", "matmul_many<Q8_0, 64, 8>"],
    "matmul_wide.cu": ["matmul_wide<Q3_K, 128>", "matmul_wide<Q4_K, 64>", "add_parts"],
    "merge.cu": ["merge<Floats>", "merge<Quantized<Block::Q8_K, Sums::WHOLE, 32>>"],
    "pack.cu": [f"pack<{each}>" for each in FORMATS if not each.startswith("Decoded")],
    "patch_attention.cu": ["attend_patches<80, 2>", "attend_patches<80, 1>", "attend_patches<128, 1>"],
    "patch_heads.cu": ["place_heads"],
    "pack_decoded.cu": ["pack_decoded<32, false>", "pack_decoded<16, true>"],
    "rope.cu": ["rope_angles", "turn_and_store<CacheHalf, CacheBfloat>", "turn_and_store<CacheQ8_0, CacheFloat>"],
    "rows.cu": ["select_rows", "add"],
    "sections.cu": ["section_angles"],
}

STRUCTURES = {
    "attention.cu": {
        "AttentionArguments": attention.ARGUMENTS,
        "AttentionTile": attention.TILE,
        "CacheRows": cache.ROWS,
        "PageTable": cache.TABLE,
    },
    "merge.cu": {"SourceArguments": convert.SOURCE_ARGUMENTS, "FormArguments": convert.FORM_ARGUMENTS},
    "convert.cu": {"SourceArguments": convert.SOURCE_ARGUMENTS, "FormArguments": convert.FORM_ARGUMENTS},
    "matmul_few.cu": {"MatmulArguments": matmul.ARGUMENTS},
    "pack.cu": {"PackArguments": pack.ARGUMENTS},
    "patch_attention.cu": {"PatchAttentionArguments": patch_attention.ARGUMENTS},
    "patch_heads.cu": {"PatchHeadsArguments": patch_attention.HEADS_ARGUMENTS},
    "pack_decoded.cu": {"DecodedArguments": pack_decoded.ARGUMENTS},
    "rope.cu": {"AnglesArguments": rope.ANGLES_ARGUMENTS, "TurnAndStoreArguments": rope.STORE_ARGUMENTS},
    "sections.cu": {"SectionArguments": sections.ARGUMENTS},
}


def layout_checks(structures: dict[str, np.dtype[np.void]]) -> str:
    """Assertions for the compiler: sizes, and where each field is."""
    lines = []
    for name, layout in structures.items():
        lines.append(f'static_assert(sizeof({name}) == {layout.itemsize}, "{name}");')
        for field in layout.names or ():
            offset = layout.fields[field][1] if layout.fields else 0
            lines.append(f'static_assert(__builtin_offsetof({name}, {field}) == {offset}, "{name}.{field}");')
    return "\n".join(lines)


def test_every_source_is_in_the_table() -> None:
    assert sorted(KERNELS) == sorted(path.name for path in DIRECTORY.glob("*.cu"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", KERNELS)
def test_sources_compile(file: str, architecture: int) -> None:
    text = program(file, HEADERS) + "\n" + layout_checks(STRUCTURES.get(file, {}))
    assert compile_program(text, file, KERNELS[file], architecture)[1:4] == b"ELF"


def test_splits_are_as_long_as_kernels_make_them() -> None:
    text = program("attention.cu") + f"\nstatic_assert(SPLIT_SIZE == {attention.SPLIT_SIZE});"
    assert compile_program(text, "attention.cu", [], 90)


@pytest.mark.parametrize("form", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_products_by_warpgroups_compile_for_their_architecture(form: str) -> None:
    text, kernels = program("matmul_wide.cu", HEADERS), [f"matmul_wide<{form}, {width}>" for width in (64, 128)]
    plain, own = (compile_program(text, "matmul_wide.cu", kernels, each) for each in (90, "90a"))
    # Without the architecture the kernels are empty.
    assert len(own) > 2 * len(plain)


def test_a_wrong_program_is_refused() -> None:
    with pytest.raises(CompileError, match="undefined"):
        compile_program(program("rows.cu") + "\nint x = nowhere;", "rows.cu", ["add"], 90)


def test_an_include_is_taken_once_and_in_place() -> None:
    text = program("matmul_few.cu", ("formats/q4_k.cuh", "formats/q5_k.cuh"))
    assert "#include" not in text
    assert "#pragma once" not in text
    assert text.count("struct SixBitHeader {") == text.count("struct Planes {") == 1
    assert text.index("struct Planes {") < text.index("struct Q4_K {") < text.index("matmul_few(")
