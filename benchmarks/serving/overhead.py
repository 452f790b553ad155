"""What HTTP adds: the same requests to the same engine, in the server and in a process without one, in turns."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from benchmarks.comparison import Figure
from benchmarks.errors import BenchmarkError
from benchmarks.serving.clients import Request, ask, random_requests
from benchmarks.serving.servers import Settings, pyggml_server, running

#: The first requests of a process are slower.
_N_WARM_UP = 3
_N_PROMPT = 8


def overhead(settings: Settings, n_vocab: int, n_predict: int, repeat: int) -> Iterator[Figure]:
    """What HTTP adds to a request for one token, and to each further one, in milliseconds. Raises BenchmarkError."""
    pairs = []
    with running(pyggml_server(), settings) as port, _in_process(settings) as process:
        for number in range(_N_WARM_UP + repeat):
            one, many = (random_requests(1, _N_PROMPT, n, n_vocab, number, reuse=False)[0] for n in (1, n_predict))
            pairs.append([(_direct(process, each), asyncio.run(ask(port, each)).total) for each in (one, many)])
    per_request = [served - direct for (direct, served), _ in pairs[_N_WARM_UP:]]
    per_token = [
        ((served - direct) - (served_one - direct_one)) / (n_predict - 1)
        for (direct_one, served_one), (direct, served) in pairs[_N_WARM_UP:]
    ]
    for test, seconds in (("HTTP adds to a request", per_request), ("HTTP adds to a token", per_token)):
        yield _figure(settings, test, seconds)


def _figure(settings: Settings, test: str, seconds: Sequence[float]) -> Figure:
    samples = tuple(1e3 * each for each in seconds)
    return Figure(settings.model.stem, settings.n_threads, test, "ms", median(samples), None, None, (samples, ()))


@contextmanager
def _in_process(settings: Settings) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "benchmarks.serving.in_process", *settings.arguments()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    with process:
        yield process


def _direct(process: "subprocess.Popen[str]", request: Request) -> float:
    """The seconds of a request without HTTP."""
    if process.stdin is None or process.stdout is None:
        raise BenchmarkError("the engine without HTTP has no pipes")
    process.stdin.write(json.dumps([request.prompt, request.n_predict]) + "\n")
    process.stdin.flush()
    said = process.stdout.readline()
    if not said:
        raise BenchmarkError(f"the engine without HTTP ended with status {process.wait()}")
    return float(said)
