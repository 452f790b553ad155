"""The README's Python runs and prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_python_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    expected = re.findall(r"# prints: (.*)", example)
    finished = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", example],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert expected
    assert [line for line in finished.stdout.splitlines() if line] == expected


def test_the_two_commands_are_those_that_ci_runs() -> None:
    text = README.read_text(encoding="utf-8")
    ci = (README.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert 'pip install -e ".[test]" && python check.py' in text
    assert '-e ".[test]"' in ci
    assert "python check.py" in ci
