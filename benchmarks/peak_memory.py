"""Run a command, and write the most memory that it took to a file: python peak_memory.py FILE COMMAND...

A program of its own, as a process begins with the peak of the one that started it; this one is small.
"""

import os
import sys
from pathlib import Path


def main(target: str, *command: str) -> int:
    """Write the bytes, and return the command's status."""
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    Path(target).write_text(str(usage.ru_maxrss * unit), encoding="ascii")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
