"""Directories of compiled kernels that other versions of this package left behind: removed when nobody uses them.

Each has the hash of a version's sources for a name. A stamp in it says when it was last used.
"""

import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

#: The file whose time of modification is the directory's last use, to a day.
STAMP = "last-used"
_DAY = 24 * 3600.0
_MAX_UNUSED = 30 * _DAY
#: A version's directory, also for a tier of vector code of its own, and one that is being removed.
_OURS = re.compile(r"[0-9a-f]{16}(-[a-z0-9_]+)?(\.removed-[0-9a-f]{32})?")


def mark_used(directory: Path) -> None:
    """Say that a directory is in use now; it is said once a day."""
    stamp = directory / STAMP
    with suppress(OSError):
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > _DAY:
            stamp.touch()


def remove_unused(base: Path, kept: Path) -> None:
    """Remove the directories in `base` that have been of no use for 30 days, but not `kept`.

    What another process removes meanwhile, or nobody may remove, is left alone. A directory gets another name first,
    so that no process finds a part of one.
    """
    with suppress(OSError):
        for each in list(base.iterdir()):
            if each != kept and _OURS.fullmatch(each.name) and each.is_dir() and not each.is_symlink():
                with suppress(OSError):
                    _remove_if_unused(each)


def _remove_if_unused(directory: Path) -> None:
    stamp = directory / STAMP
    # Earlier versions left no stamp.
    last_use = (stamp if stamp.exists() else directory).stat().st_mtime
    if time.time() - last_use > _MAX_UNUSED:
        removed = directory.rename(directory.with_name(f"{directory.name[:16]}.removed-{uuid4().hex}"))
        shutil.rmtree(removed, ignore_errors=True)
