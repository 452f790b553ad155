"""The shapes of the demo models."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen2-VL model; without a tower it is a Qwen2 model."""

    width: int = 256
    layers: int = 6
    heads: int = 4
    key_heads: int = 2
    ff_width: int = 768
    context: int = 2048
    rope_base: float = 1e6
    sections: tuple[int, int, int] = (8, 12, 12)
    tower_layers: int = 6
    tower_width: int = 256
    tower_head_size: int = 32
    patch: int = 14

    @property
    def head_size(self) -> int:
        """Width of one head of the language model."""
        return self.width // self.heads

    @property
    def tower_heads(self) -> int:
        """Heads of the tower."""
        return self.tower_width // self.tower_head_size
