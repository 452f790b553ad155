"""What changes from step to step, at addresses that never change."""

from collections.abc import Sequence

import numpy as np

from pyggml.backend.graph import Node, PlaceGiven, SectionAngles
from pyggml.backend.protocol import Step


class StepInputs:
    """Room for the largest batch; plans hold the addresses of these arrays.

    `nodes` tell whether there are positions by section, and rows in place of embeddings.
    """

    def __init__(self, n_tokens: int, n_sequences: int, n_pages: int, nodes: Sequence[Node] = ()) -> None:
        n_sections = max((len(node.rope.sections) for node in nodes if isinstance(node, SectionAngles)), default=0)
        n_given = max((node.x.n_columns for node in nodes if isinstance(node, PlaceGiven)), default=0)
        self.tokens = np.zeros(n_tokens, np.int32)
        self.positions = np.zeros(n_tokens, np.int32)
        self.sequences = np.zeros(n_tokens, np.int32)
        self.outputs = np.zeros(n_tokens, np.int32)
        self.page_table = np.zeros((n_sequences, n_pages), np.int32)
        self.section_positions = np.zeros((n_tokens, n_sections), np.int32)
        self.given = np.zeros((n_tokens, n_given), np.float32)
        self.given_rows = np.full(n_tokens, -1, np.int32)

    def fill(self, step: Step) -> None:
        """Copy a step's inputs."""
        n = len(step.tokens)
        self.tokens[:n] = step.tokens
        self.positions[:n] = step.positions
        self.sequences[:n] = step.sequences
        self.outputs[: len(step.outputs)] = step.outputs
        rows, columns = step.page_table.shape
        self.page_table[:rows, :columns] = step.page_table
        # A part of a model behind a cut may need neither.
        if step.section_positions is not None and self.section_positions.size:
            self.section_positions[:n] = step.section_positions
        self.given_rows[:n] = -1
        if step.given is not None and step.given_rows is not None and self.given.size:
            self.given[: len(step.given)] = step.given
            self.given_rows[:n] = step.given_rows
