"""What goes into a step."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.engine.batching import Pace, share_step


@dataclass(frozen=True)
class Waiting:
    n_pending: int
    is_generating: bool = False


GENERATING = Waiting(1, is_generating=True)
RUNS = st.lists(st.one_of(st.just(GENERATING), st.integers(1, 500).map(Waiting)), min_size=1, max_size=12)


@given(runs=RUNS, n_batch=st.integers(1, 128), n_prompt=st.integers(1, 128))
@settings(max_examples=300, deadline=None)
def test_a_step_is_shared_fairly(runs: list[Waiting], n_batch: int, n_prompt: int) -> None:
    shares = dict(share_step(runs, n_batch, n_prompt))
    generating = [index for index, run in enumerate(runs) if run.is_generating]
    prompts = [index for index, run in enumerate(runs) if not run.is_generating]
    assert all(1 <= n <= runs[index].n_pending for index, n in shares.items())
    assert [index for index in shares if runs[index].is_generating] == generating[:n_batch]
    n_read = sum(shares.get(index, 0) for index in prompts)
    room = min(n_batch - len(generating[:n_batch]), n_prompt) if generating else n_batch
    assert n_read == min(room, sum(runs[index].n_pending for index in prompts))
    if prompts and room:
        assert shares[prompts[0]] >= min(runs[prompts[0]].n_pending, -(-room // 2))


def test_a_short_prompt_passes_a_long_one() -> None:
    assert share_step([Waiting(1000), Waiting(400), Waiting(20)], 64, 64) == [(0, 32), (1, 12), (2, 20)]
    assert share_step([Waiting(1000), GENERATING, Waiting(20)], 512, 32) == [(0, 16), (1, 1), (2, 16)]


def test_the_pace_follows_the_device() -> None:
    pace = Pace(512)
    assert pace.n_prompt == 32
    pace.note(1, 10.0)  # a step of single tokens tells nothing
    assert pace.n_prompt == 32
    for _ in range(20):
        pace.note(128, 0.128)
    assert pace.n_prompt == 96
    for _ in range(20):
        pace.note(512, 51.2)
    assert pace.n_prompt == 32
    for _ in range(60):
        pace.note(512, 0.01)
    assert pace.n_prompt == 512
