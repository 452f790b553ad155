"""The model that comes inside the package."""

from pathlib import Path


def demo_model() -> Path:
    """The path of demo-text, a small Qwen2 model trained for this project, in Q8_0."""
    return Path(__file__).parent / "data" / "demo-text-q8_0.gguf"
