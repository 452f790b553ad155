"""What ends an answer, and what becomes of a context that is full."""

from dataclasses import dataclass

from pyggml.errors import UsageError


@dataclass(frozen=True)
class GenerationOptions:
    """When to stop, and what to do when the context is full."""

    max_tokens: int = -1
    """-1: no limit; -2: until the context is full, without shifting"""
    stop: tuple[str, ...] = ()
    """Strings that end the text; they are not part of it."""
    keep: int = 0
    """Prompt tokens to keep when the context is shifted; -1: all"""
    context_shift: bool = False
    """When the context is full, forget half of what is not kept, instead of ending."""
    discard: int = 0
    """Tokens to forget when the context is shifted; 0: half of what is not kept"""
    max_seconds: float = 0.0
    """Once the answer took so long, its next line break ends it; 0: no limit"""
    indent: int = 0
    """A line, after the first, that is indented by fewer spaces and tabs ends the answer"""
    special: bool = False
    """Show control tokens."""

    def __post_init__(self) -> None:
        """Refuse counts that mean nothing."""
        for name in ("discard", "max_seconds", "indent"):
            if (value := getattr(self, name)) < 0:
                raise UsageError(f"{name} is {value}; allowed are 0 and up")
        if self.max_tokens < -2:
            raise UsageError(
                f"max_tokens is {self.max_tokens}; allowed are -2 (fill the context), -1 (no limit) and up"
            )
        if self.keep < -1:
            raise UsageError(f"keep is {self.keep}; allowed are -1 (the whole prompt), 0 and up")

    def discarded(self, n_tokens: int, n_prompt: int, *, add_bos: bool) -> range:
        """The positions that a full context of `n_tokens` forgets; none if it may not, or has none to spare."""
        if not self.context_shift or self.max_tokens == -2:
            return range(0)
        keep = n_prompt if self.keep < 0 else min(n_prompt, self.keep + int(add_bos))
        n_left = n_tokens - keep
        return range(keep, keep + min(self.discard or n_left // 2, n_left - 1))
