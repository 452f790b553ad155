"""Both servers under the same load, one after the other, and the medians of what they achieve."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.comparison import Figure
from benchmarks.programs import Program
from benchmarks.serving.clients import Load, random_requests, run_clients
from benchmarks.serving.servers import Settings, running

_WARM_UP_TOKENS = 4


@dataclass(frozen=True)
class Plan:
    """`n_clients` at a time, each with `n_requests` one after the other: a prompt read, and an answer generated."""

    n_clients: tuple[int, ...]
    n_requests: int
    n_prompt: int
    n_gen: int
    repeat: int


def compare(
    servers: Sequence[Program], settings: Settings, plan: Plan, n_vocab: int, report: Callable[[str], None]
) -> Iterator[Figure]:
    """Measure one or two servers, the first being pyggml's. Raises BenchmarkError if one fails."""
    loads: dict[tuple[int, Program], list[Load]] = {(n, each): [] for n in plan.n_clients for each in servers}
    for number in range(plan.repeat):
        for server in servers:
            report(f"{settings.model.name}, {server.name}, round {number + 1} of {plan.repeat}")
            with running(server, settings) as port:
                _warm_up(port, plan, n_vocab)
                for n in plan.n_clients:
                    requests = random_requests(
                        n * plan.n_requests, plan.n_prompt, plan.n_gen, n_vocab, number * settings.n_slots + n
                    )
                    loads[n, server].append(run_clients(port, n, requests))
    for n in plan.n_clients:
        yield from _figures(settings.model, settings.n_threads, n, plan, [loads[n, each] for each in servers])


def _warm_up(port: int, plan: Plan, n_vocab: int) -> None:
    """As many clients as there will be, with prompts that are none of those to come, for shorter answers."""
    n = max(plan.n_clients)
    run_clients(port, n, random_requests(n, plan.n_prompt, _WARM_UP_TOKENS, n_vocab, seed=2**32))


def _figures(model: Path, n_threads: int, n: int, plan: Plan, loads: Sequence[Sequence[Load]]) -> Iterator[Figure]:
    name = "1 client" if n == 1 else f"{n} clients"
    rates = [tuple(len(load.answers) * plan.n_gen / load.seconds for load in of_one) for of_one in loads]
    firsts = [tuple(1e3 * answer.first for load in of_one for answer in load.answers) for of_one in loads]

    def figure(test: str, unit: str, samples: Sequence[tuple[float, ...]], values: Sequence[float]) -> Figure:
        kept = samples[0], samples[1] if len(samples) > 1 else ()
        return Figure(model.stem, n_threads, test, unit, values[0], values[1] if len(values) > 1 else None, None, kept)

    yield figure(name, "t/s", rates, [median(each) for each in rates])
    for percent in (50, 95):
        values = [float(np.percentile(each, percent)) for each in firsts]
        yield figure(f"{name}, first token p{percent}", "ms", firsts, values)
