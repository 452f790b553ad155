"""The tiers of vector code: each passes the tests of matrix products, and all give the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyggml_kernels.simd.cpu import available_tiers, tier

REPOSITORY = Path(__file__).resolve().parents[2]
#: The digest of logits of the model in the package, by batches that go through every way of multiplying.
DIGEST = """
import hashlib, pyggml
from pyggml.engine import Part
digest = hashlib.sha256()
model = pyggml.load(pyggml.demo_model(), n_ctx=256)
digest.update(model.logits(list(range(40))).tobytes())
sequence = model.engine.new_sequence()
for position in range(3):
    digest.update(model.engine.step([Part(sequence, position, [position + 5], [0])]).tobytes())
print(digest.hexdigest())
"""


def run(chosen: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in another process, with a tier chosen."""
    environment = os.environ | {"PYGGML_SIMD": chosen}
    return subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True)


def test_all_tiers_give_the_same_bits() -> None:
    digests = {chosen: run(chosen, "-c", DIGEST).stdout for chosen in available_tiers()}
    assert len(set(digests.values())) == 1
    assert len(digests["portable"].strip()) == 64


@pytest.mark.parametrize("chosen", ["avx2", "portable"])
def test_the_other_tiers_pass_the_tests_of_matrix_products(chosen: str) -> None:
    if chosen not in available_tiers():
        pytest.skip(f"this CPU has no {chosen}")
    finished = run(chosen, "-m", "pytest", "-q", "-x", "tests/kernels/test_matmul.py")
    assert finished.returncode == 0, finished.stdout[-2000:]


def test_a_tier_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYGGML_SIMD", "mmx")
    tier.cache_clear()
    with pytest.raises(ValueError, match=r"PYGGML_SIMD is 'mmx'; allowed on this CPU: .*portable"):
        tier()
    tier.cache_clear()
