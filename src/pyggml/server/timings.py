"""How long a request took, in llama-server's words."""

from pyggml.engine import Timings


def timings_json(timings: Timings) -> dict[str, float | int]:
    """llama-server's `timings`: milliseconds, and rates; n generated tokens are n - 1 steps after the prompt."""
    n_steps = max(0, timings.n_generated - 1)
    prompt_ms, generation_ms = timings.prompt_seconds * 1e3, timings.generation_seconds * 1e3
    return {
        "cache_n": timings.n_cached,
        "prompt_n": timings.n_prompt,
        "prompt_ms": prompt_ms,
        "prompt_per_token_ms": prompt_ms / max(1, timings.n_prompt),
        "prompt_per_second": timings.prompt_per_second,
        "predicted_n": timings.n_generated,
        "predicted_ms": generation_ms,
        "predicted_per_token_ms": generation_ms / max(1, n_steps),
        "predicted_per_second": n_steps / timings.generation_seconds if timings.generation_seconds else 0.0,
    }
