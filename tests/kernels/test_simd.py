"""The tiers of vector code: all give the same bits, in every product and in a whole model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyggml.backend.cpu.backend import CPUBackend
from pyggml.errors import UsageError
from pyggml_kernels.formats import FORMATS
from pyggml_kernels.jit import kernel_cache_directory
from pyggml_kernels.simd.cpu import available_tiers, tier

#: Formats whose layouts have, together, all that code depends on: levels of each number of bits, a table, scales of
#: floats and of integers, minimums of both, also in shared bytes, blocks that are decoded, and both 16-bit floats.
VARIED = ["F16", "BF16", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q6_K", "IQ1_M", "IQ4_XS"]
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


def run(chosen: str, *arguments: str) -> str:
    """What Python writes in another process, with a tier chosen."""
    environment = os.environ | {"PYGGML_SIMD": chosen}
    finished = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout


def assert_same_products(names: list[str]) -> None:
    """Those of the fastest tier have passed the tests of matrix products, so the others would, too."""
    digests = {chosen: run(chosen, "-m", "tests.kernels.tier_digests", *names) for chosen in available_tiers()}
    lines = digests["portable"].splitlines()
    assert [each.split()[0] for each in lines] == names
    assert all(each.splitlines() == lines for each in digests.values()), digests


def test_all_tiers_give_the_same_products_in_varied_layouts() -> None:
    assert_same_products(VARIED)


@pytest.mark.slow
def test_all_tiers_give_the_same_products_in_every_format() -> None:
    assert_same_products([each.name for each in FORMATS.values()])


@pytest.mark.slow
def test_all_tiers_give_the_same_logits() -> None:
    digests = {run(chosen, "-c", DIGEST) for chosen in available_tiers()}
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_a_tier_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYGGML_SIMD", "mmx")
    tier.cache_clear()
    message = r"PYGGML_SIMD is 'mmx'; allowed on this CPU: .*portable"
    with pytest.raises(ValueError, match=message):
        tier()
    kernel_cache_directory.cache_clear()
    with pytest.raises(ValueError, match=message):
        kernel_cache_directory()
    with pytest.raises(UsageError, match=message):
        CPUBackend(1, 1, 1)
