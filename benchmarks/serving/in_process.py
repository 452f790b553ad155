"""The engine of `pyggml serve` without HTTP: python -m benchmarks.serving.in_process -m FILE -t N -np N -c N

Reads requests from stdin, as JSON lists of prompt tokens and a number of tokens to generate, one a line; answers each
with the seconds that it took.
"""

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter

import pyggml
from pyggml.engine import GenerationOptions, GenerationRequest, Scheduler, SchedulerOptions
from pyggml.sampling import SamplingOptions


def main() -> None:
    """Answer until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.in_process", allow_abbrev=False)
    parser.add_argument("-m", type=Path, required=True)
    for option in ("-t", "-np", "-c"):
        parser.add_argument(option, type=int, required=True)
    given = parser.parse_args()
    n_ctx = given.c // given.np
    model = pyggml.load(given.m, n_ctx=n_ctx, n_cache=given.c, n_sequences=given.np, n_threads=given.t)
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(given.np))
    scheduler.start()
    sampling = SamplingOptions.from_metadata(model.file.metadata, seed=1, ignore_eos=True)
    for line in sys.stdin:
        prompt, n_predict = json.loads(line)
        start = perf_counter()
        options = GenerationOptions(max_tokens=n_predict)
        request = GenerationRequest(tokens=tuple(prompt), sampling=sampling, generation=options, reuse=False)
        for _ in scheduler.generate(request):
            pass
        sys.stdout.write(f"{perf_counter() - start}\n")
        sys.stdout.flush()
    scheduler.stop(0)


if __name__ == "__main__":
    main()
