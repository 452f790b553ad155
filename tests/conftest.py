"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real inputs beside the checkout; present in CI, not on a user's machine."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the folder of real inputs, {SHARED}, which only the project's own machines have")
    return SHARED
