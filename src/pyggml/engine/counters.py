"""What the scheduler has done since it started."""

from dataclasses import dataclass

from pyggml.engine.events import Timings


@dataclass
class Counters:
    """Sums since the start; seconds."""

    n_steps: int = 0
    n_parts: int = 0
    """Sequences that took part in a step, summed over all steps."""
    n_pauses: int = 0
    """Times that a request had to give its pages to an earlier one."""
    n_tokens_max: int = 0
    """The largest context that there was."""
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    prompt_seconds: float = 0.0
    n_generated_tokens: int = 0
    generation_seconds: float = 0.0

    def add(self, timings: Timings) -> None:
        """Take a request in that is over."""
        self.n_prompt_tokens += timings.n_prompt
        self.n_cached_tokens += timings.n_cached
        self.prompt_seconds += timings.prompt_seconds
        self.n_generated_tokens += timings.n_generated
        self.generation_seconds += timings.generation_seconds
