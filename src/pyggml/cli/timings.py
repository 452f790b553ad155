"""How fast it went, in words."""

from pyggml.engine import Timings


def rate(n_tokens: int, seconds: float) -> str:
    """Give tokens per second, or a dash if there was nothing to measure."""
    return f"{n_tokens / seconds:.1f} t/s" if n_tokens > 0 and seconds > 0 else "-"


def describe_answer(timings: Timings) -> str:
    """Give the line that follows each answer of a conversation."""
    prompt = rate(timings.n_prompt, timings.prompt_seconds)
    return f"[ Prompt: {prompt} | Generation: {rate(timings.n_generated, timings.generation_seconds)} ]"


class Totals:
    """The sums over all answers of a run, for its last line."""

    def __init__(self, load_seconds: float) -> None:
        """Begin with the time that loading took."""
        self._load_seconds = load_seconds
        self._n_prompt = self._n_generated = 0
        self._prompt_seconds = self._generation_seconds = self._picture_seconds = 0.0
        self._n_pictures = 0

    def add(self, timings: Timings) -> None:
        """Count another answer."""
        self._n_prompt += timings.n_prompt
        self._n_generated += timings.n_generated
        self._prompt_seconds += timings.prompt_seconds
        self._generation_seconds += timings.generation_seconds

    def add_picture(self, seconds: float) -> None:
        """Count another picture, and the time that it took the tower."""
        self._n_pictures += 1
        self._picture_seconds += seconds

    def describe(self) -> str:
        """Give the line at the end of a run."""
        parts = [f"Load: {self._load_seconds:.2f} s"]
        if self._n_pictures:
            parts.append(f"Pictures: {self._n_pictures} in {self._picture_seconds:.2f} s")
        for name, n_tokens, seconds in (
            ("Prompt", self._n_prompt, self._prompt_seconds),
            ("Generation", self._n_generated, self._generation_seconds),
        ):
            parts.append(f"{name}: {n_tokens} tokens, {rate(n_tokens, seconds)}")
        return f"[ {' | '.join(parts)} ]"
