"""The cache of downloaded files: where it is, and what is kept beside each file."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


def cache_directory(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Give PYGGML_CACHE, else `pyggml` in the user's cache folder (XDG_CACHE_HOME, ~/.cache; LOCALAPPDATA)."""
    if environment.get("PYGGML_CACHE"):
        return Path(environment["PYGGML_CACHE"])
    variable = "LOCALAPPDATA" if platform == "win32" else "XDG_CACHE_HOME"
    base = environment.get(variable)
    # The XDG specification: relative paths are to be ignored.
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "pyggml"


@dataclass(frozen=True)
class Stamp:
    """What identifies one version of a file: the server's entity tag, the hash, the size."""

    etag: str | None = None
    sha256: str | None = None
    size: int | None = None

    @property
    def strong_etag(self) -> str | None:
        """The entity tag, if equal tags mean equal bytes (RFC 9110, section 8.8.1)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else None


@dataclass(frozen=True)
class Slot:
    """The place of one file in the cache.

    FILE appears when it is whole. Beside it: FILE.json, its stamp; FILE.part with FILE.part.json, an unfinished
    download; FILE.lock.
    """

    file: Path

    @property
    def part(self) -> Path:
        """The unfinished download."""
        return self._beside(".part")

    @property
    def lock(self) -> Path:
        """The lock against other processes."""
        return self._beside(".lock")

    def _beside(self, suffix: str) -> Path:
        return self.file.with_name(self.file.name + suffix)

    def stamp(self) -> Stamp | None:
        """Read the stamp of the whole file; None if there is no whole file."""
        if not self.file.is_file():
            return None
        stamp = _read(self._beside(".json"))
        return stamp if stamp.size == self.file.stat().st_size else Stamp()

    def part_stamp(self) -> Stamp:
        """Read the stamp of the unfinished download."""
        return _read(self._beside(".part.json"))

    def part_size(self) -> int:
        """Count the bytes that are already here."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def begin(self, stamp: Stamp) -> None:
        """Say which version the unfinished download is of."""
        self._beside(".part.json").write_text(json.dumps(asdict(stamp)), encoding="utf-8")

    def finish(self) -> None:
        """Make the download the file; then its stamp, so that a stamp never speaks of another file."""
        self.part.replace(self.file)
        self._beside(".part.json").replace(self._beside(".json"))

    def discard(self) -> None:
        """Remove the unfinished download."""
        self.part.unlink(missing_ok=True)
        self._beside(".part.json").unlink(missing_ok=True)


def _read(path: Path) -> Stamp:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        stamp = Stamp(**fields)
    except (OSError, ValueError, TypeError):
        return Stamp()
    sound = isinstance(stamp.etag, str | None) and isinstance(stamp.sha256, str | None)
    return stamp if sound and isinstance(stamp.size, int | None) else Stamp()
