"""The models that come inside the package, both trained for this project."""

from pathlib import Path

_DATA = Path(__file__).parent / "data"

#: Their names, as `-m` takes them.
DEMO_MODELS = ("demo-text", "demo-vl")


def demo_model(name: str = "demo-text") -> Path:
    """The path of demo-text, a small Qwen2 model, or of demo-vl, a small Qwen2-VL model; both in Q8_0."""
    return _DATA / f"{name}-q8_0.gguf"


def demo_mmproj() -> Path:
    """The path of the vision tower of demo-vl, in Q8_0."""
    return _DATA / "demo-vl-mmproj-q8_0.gguf"
