"""`--prompt-cache`: an evaluated prompt, kept in a file from one run to the next."""

from pathlib import Path

from pyggml.cli.text_options import CacheFileOptions
from pyggml.engine import Session
from pyggml.errors import UsageError


class PromptCache:
    """The file, and when it is read and written; without a file nothing happens."""

    def __init__(self, options: CacheFileOptions, session: Session) -> None:
        """Check the options. Raises UsageError."""
        if options.prompt_cache is None and (options.prompt_cache_all or options.prompt_cache_ro):
            raise UsageError("--prompt-cache-all and --prompt-cache-ro need a file: give --prompt-cache FILE")
        if options.prompt_cache_all and options.prompt_cache_ro:
            raise UsageError("--prompt-cache-all writes the file and --prompt-cache-ro leaves it: give one of them")
        self._path: Path | None = options.prompt_cache
        self._keeps_all = options.prompt_cache_all
        self._is_saved = options.prompt_cache_ro
        self._session = session
        self._loaded: list[int] = []

    def load(self) -> list[int]:
        """Restore the session from the file if there is one with something in it; give its tokens."""
        if self._path is None or not self._path.exists() or self._path.stat().st_size == 0:
            return []
        self._session.load(self._path)
        self._loaded = list(self._session.tokens)
        return list(self._loaded)

    def save_prompt(self) -> None:
        """Write the file, the first time that a prompt is evaluated, unless it came from there."""
        if self._path is None or self._is_saved:
            return
        tokens = self._session.tokens
        if self._loaded[: len(tokens)] != tokens:
            self._session.save(self._path)
        self._is_saved = True

    def save_all(self) -> None:
        """Write the file again, at the end, if everything is to be kept."""
        if self._path is not None and self._keeps_all:
            self._session.save(self._path)
