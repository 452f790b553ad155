"""End-to-end tests run after the kernels are compiled, so that what they read on the screen is not news of that."""

import subprocess
import sys

import pytest


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """Compile what the model in the package needs, once."""
    command = [sys.executable, "-m", "pyggml", "run", "-p", "Hi", "-n", "2", "--temp", "0"]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
