"""What changes from step to step, at addresses that never change."""

import numpy as np

from pyggml.backend.protocol import Step


class StepInputs:
    """Room for the largest batch; plans hold the addresses of these arrays."""

    def __init__(self, n_tokens: int, n_sequences: int, n_pages: int) -> None:
        self.tokens = np.zeros(n_tokens, np.int32)
        self.positions = np.zeros(n_tokens, np.int32)
        self.sequences = np.zeros(n_tokens, np.int32)
        self.outputs = np.zeros(n_tokens, np.int32)
        self.page_table = np.zeros((n_sequences, n_pages), np.int32)

    def fill(self, step: Step) -> None:
        """Copy a step's inputs."""
        n = len(step.tokens)
        self.tokens[:n] = step.tokens
        self.positions[:n] = step.positions
        self.sequences[:n] = step.sequences
        self.outputs[: len(step.outputs)] = step.outputs
        rows, columns = step.page_table.shape
        self.page_table[:rows, :columns] = step.page_table
