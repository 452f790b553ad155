"""GET /metrics: Prometheus' text, under llama-server's names."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pyggml.engine import Counters
from pyggml.server.errors import ApiError
from pyggml.server.service import Service, service_of

router = APIRouter(tags=["server"])


@dataclass
class Window:
    """The counters as they were at the last look."""

    counters: Counters
    time: float


class ServerMetrics:
    """Collects the values; two of the gauges are rates since the last time they were collected."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._window = Window(Counters(), monotonic())

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        scheduler = self._service.scheduler
        now = replace(scheduler.counters)
        before, self._window = self._window.counters, Window(now, monotonic())
        for name, text, value in (
            ("prompt_tokens", "Prompt tokens that were evaluated", now.n_prompt_tokens),
            ("prompt_tokens_cached", "Prompt tokens that were found in the cache", now.n_cached_tokens),
            ("prompt_seconds", "Time that prompts took", now.prompt_seconds),
            ("tokens_predicted", "Tokens of answers", now.n_generated_tokens),
            ("tokens_predicted_seconds", "Time that answers took", now.generation_seconds),
            ("n_decode", "Steps of the engine", now.n_steps),
            ("spec_decode_num_draft_tokens", "Drafted tokens", 0),
            ("spec_decode_num_accepted_tokens", "Drafted tokens that were accepted", 0),
            ("spec_decode_num_drafts", "Steps that verified drafts", 0),
        ):
            yield CounterMetricFamily(f"llamacpp:{name}", text, value)
        busy = sum(state.request is not None for state in scheduler.slots())
        prompt = _rate(now.n_prompt_tokens - before.n_prompt_tokens, now.prompt_seconds - before.prompt_seconds)
        answer = _rate(
            now.n_generated_tokens - before.n_generated_tokens, now.generation_seconds - before.generation_seconds
        )
        for name, text, value in (
            ("n_tokens_max", "The longest context so far", now.n_tokens_max),
            ("prompt_tokens_seconds", "Prompt tokens a second since the last look", prompt),
            ("predicted_tokens_seconds", "Tokens of answers a second since the last look", answer),
            ("requests_processing", "Requests that have a slot", busy),
            ("requests_deferred", "Requests that wait for one", scheduler.n_waiting),
            ("n_busy_slots_per_decode", "Requests in a step, on average", _rate(now.n_parts, now.n_steps)),
        ):
            yield GaugeMetricFamily(f"llamacpp:{name}", text, value)


def _rate(amount: float, total: float) -> float:
    return amount / total if total else 0.0


def metrics_registry(service: Service) -> CollectorRegistry:
    """A registry of its own: what else the process counts is nobody's business."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerMetrics(service))
    return registry


@router.get("/metrics")
async def metrics(client: Request, service: Annotated[Service, Depends(service_of)]) -> Response:
    """What the server has done so far."""
    if not service.options.metrics_endpoint:
        raise ApiError(501, "This server does not support metrics endpoint. Start it with `--metrics`")
    registry: CollectorRegistry = client.app.state.metrics
    return Response(
        generate_latest(registry),
        media_type="text/plain; version=0.0.4",
        headers={"Process-Start-Time-Unix": str(int(service.started))},
    )
