"""The one check command: formatting, lint, types, import laws and tests, in that order.

python check.py             # what CI runs
python check.py -k sampler  # further arguments go to pytest
"""

import subprocess
import sys

STEPS = (
    ("format", ["-m", "ruff", "format", "--check", "."]),
    ("lint", ["-m", "ruff", "check", "."]),
    ("types", ["-m", "mypy"]),
    # import-linter's module does nothing when it is run, and its script may not be on the path.
    ("imports", ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]),
    ("tests", ["-m", "pytest"]),
)


def main(pytest_arguments: list[str]) -> int:
    """Run every step; return the exit status of the first that fails, or 0."""
    for name, arguments in STEPS:
        extra = pytest_arguments if name == "tests" else []
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        status = subprocess.run([sys.executable, *arguments, *extra], check=False).returncode
        if status:
            sys.stdout.write(f"== {name}: failed with status {status}\n")
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
