"""What a decoder that is shown pictures computes besides: rows in place of embeddings, positions by section."""

import numpy as np
import numpy.typing as npt

from pyggml.backend.cpu.arguments import arguments
from pyggml.backend.cpu.inputs import StepInputs
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.graph import PlaceGiven, SectionAngles, SectionRope
from pyggml_kernels import embedding, section_rope
from pyggml_kernels.plan import Operation


def section_table(rope: SectionRope) -> npt.NDArray[np.int32]:
    """The sections as the kernel reads them; to be kept alive with the plan."""
    return np.array(rope.sections, np.int32)


def lower_section_angles(
    node: SectionAngles, sections: npt.NDArray[np.int32], memory: Memory, inputs: StepInputs, n_tokens: int
) -> list[Operation]:
    """The angles of each token's positions."""
    integers = {
        0: inputs.section_positions.ctypes.data,
        1: node.rope.n_pairs,
        2: memory.address(node.output),
        3: len(sections),
        4: sections.ctypes.data,
    }
    doubles = {5: node.rope.theta_scale, 6: node.rope.frequency_scale}
    words = arguments(section_rope.N_ARGUMENTS, integers, doubles)
    return [Operation(section_rope.section_angles, words, n_tokens)]


def lower_given(node: PlaceGiven, memory: Memory, inputs: StepInputs, n_tokens: int) -> list[Operation]:
    """The rows that are given, over the embeddings."""
    integers = {
        0: memory.address(node.output),
        1: inputs.given_rows.ctypes.data,
        2: inputs.given.ctypes.data,
        3: node.x.n_columns,
    }
    return [Operation(embedding.place_rows, arguments(embedding.N_ARGUMENTS, integers), n_tokens)]
