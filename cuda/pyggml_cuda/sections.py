"""Rotary embedding of tokens with several positions."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyggml_cuda.launch import FLOAT, INT, POINTER, KernelName, Launch, filled, structure

#: Sections that a kernel's arguments have room for.
MAX_SECTIONS = 4

ARGUMENTS = structure(
    dict.fromkeys(("positions", "out"), POINTER)
    | dict.fromkeys(("n_pairs", "n_sections"), INT)
    | dict.fromkeys(("theta_scale", "frequency_scale"), FLOAT)
    | {"sections": (INT, (MAX_SECTIONS, 3))}
)


@dataclass(frozen=True)
class SectionAngles:
    """The parameters of the angles, as in `pyggml_kernels.section_rope.section_angles`."""

    n_pairs: int
    theta_scale: float
    frequency_scale: float
    sections: Sequence[tuple[int, int, int]]
    """Of each the first pair, the end, and the pair whose angle is the position itself."""


def section_angles(parameters: SectionAngles, positions: int, out: int, n_tokens: int) -> Launch:
    """Cosines and sines (n_tokens, 2, n_pairs) of positions (n_tokens, n_sections)."""
    absent = MAX_SECTIONS - len(parameters.sections)
    values = vars(parameters) | {
        "positions": positions,
        "out": out,
        "n_sections": len(parameters.sections),
        "sections": [*parameters.sections, *[(0, 0, 0)] * absent],
    }
    kernel = KernelName("sections.cu", "section_angles")
    return Launch(kernel, (n_tokens, 1, 1), 64, (filled(ARGUMENTS, values),))
