"""Answers by the largest logits alone are those by all logits; a device that ranks stands on a CPU."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyggml
from pyggml.backend.cpu import CPUBackend
from pyggml.backend.graph import Graph
from pyggml.backend.protocol import Cache, Executable, Largest, Step
from pyggml.engine import GenerationRequest, Scheduler, SchedulerOptions, TextEvent
from pyggml.grammar import Grammars
from pyggml.model import Model
from pyggml.sampling import SamplingOptions
from pyggml_reference import cuda_twins
from tests.model.test_scheduler import together
from tests.unit.fake_gpu import install_gpu

PROMPTS = ("Once upon a time", "The fox", "Mira was", "Ravi was a curious boy", "Hello", "In the sky")
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0.0},
    {"repeat_penalty": 1.3, "presence_penalty": 0.4, "ignore_eos": True},
    {"dry_multiplier": 0.8, "xtc_probability": 0.5, "logit_bias": {5: -3.0}},
    {"mirostat": 2},
    {"n_probs": 4},
    {"top_k": 0, "top_p": 0.9},
)


class RankingExecutable:
    """Keeps what another computed, and what was asked for: all results, ranked ones, single rows."""

    def __init__(self, executable: Executable) -> None:
        self.asked: list[str] = []
        self._executable = executable
        self._rows = np.zeros((0, 0), np.float32)

    def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.asked.append("all")
        return self._executable.run(step, *received)

    def rank(self, step: Step, *received: npt.NDArray[np.float32]) -> Largest:
        self.asked.append("largest")
        self._rows = self._executable.run(step, *received).copy()
        return Largest(*cuda_twins.largest(self._rows, 256))

    def row(self, output: int) -> npt.NDArray[np.float32]:
        self.asked.append("row")
        row: npt.NDArray[np.float32] = self._rows[output]
        return row


class RankingBackend(CPUBackend):
    """A CPU that leaves results where they are."""

    executables: list[RankingExecutable]

    def __init__(self, n_batch: int, n_sequences: int, number: int) -> None:
        super().__init__(1, n_batch, n_sequences)

    def compile(self, graph: Graph, cache: Cache) -> Any:
        executable = RankingExecutable(super().compile(graph, cache))
        self.executables.append(executable)
        return executable


@pytest.fixture(scope="module")
def executables() -> list[RankingExecutable]:
    return []


@pytest.fixture(scope="module")
def ranking(executables: list[RankingExecutable]) -> Iterator[Model]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RankingBackend, "executables", executables, raising=False)
        install_gpu(patch, RankingBackend)
        yield pyggml.load(pyggml.demo_model(), n_ctx=256, n_sequences=8, n_gpu_layers=3)


@pytest.fixture(scope="module")
def plain() -> Model:
    return pyggml.load(pyggml.demo_model(), n_ctx=256, n_sequences=8, n_gpu_layers=0)


def request(model: Model, index: int, **sampling: Any) -> GenerationRequest:
    post = index % 2 == 1 and "n_probs" in sampling
    return GenerationRequest(
        tokens=tuple(model.tokenize(PROMPTS[index % len(PROMPTS)])),
        sampling=SamplingOptions(seed=index, **sampling),
        generation=pyggml.GenerationOptions(max_tokens=20),
        constraint=Grammars(model.tokenizer).gbnf('root ::= [a-z ,.]+ "!"') if index % 5 == 4 else None,
        post_sampling_probabilities=post,
    )


def texts(model: Model, requests: list[GenerationRequest]) -> list[list[TextEvent]]:
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots=8))
    scheduler.start()
    answers = together(scheduler, requests)
    scheduler.stop(10)
    return [[event for event in events if isinstance(event, TextEvent)] for events in answers]


def test_requests_side_by_side(ranking: Model, plain: Model, executables: list[RankingExecutable]) -> None:
    for sampling in (SETTINGS[:4], SETTINGS, SETTINGS[4::2]):
        batch = [(index, sampling[index % len(sampling)]) for index in range(8)]
        expected, found = (
            texts(model, [request(model, index, **each) for index, each in batch]) for model in (plain, ranking)
        )
        assert found == expected
    asked = [each for executable in executables for each in executable.asked]
    assert {"all", "largest", "row"} <= set(asked)


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_one_user(ranking: Model, plain: Model, executables: list[RankingExecutable], sampling: dict[str, Any]) -> None:
    options = SamplingOptions(seed=3, **sampling)
    for executable in executables:
        executable.asked.clear()
    expected, found = (
        [
            event.token
            for event in model.generate(PROMPTS[0], sampling=options, max_tokens=16)
            if hasattr(event, "token")
        ]
        for model in (plain, ranking)
    )
    assert found == expected
    asked = [each for executable in executables for each in executable.asked if executable.asked]
    needs_all = sampling.get("mirostat") or sampling.get("top_k") == 0
    assert ("largest" in asked) == (not needs_all)
    assert "row" not in asked
