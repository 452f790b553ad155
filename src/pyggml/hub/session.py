"""HTTP with patience: redirects, retries, and errors that say what to do."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, TypeVar

import httpx

from pyggml import __version__
from pyggml.errors import DownloadError

MAX_REDIRECTS = 10
MAX_JSON_BYTES = 32 * 1024 * 1024
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Network:
    """Whether to use the network, and how patiently; waits double from one attempt to the next."""

    offline: bool = False
    n_attempts: int = 6
    backoff_seconds: float = 1.0
    timeout_seconds: float = 30.0


class UnreachableError(DownloadError):
    """No sound answer came from the server; what is in the cache may do."""


class InterruptedDownloadError(Exception):
    """An attempt failed in a way that another may not."""


class Session:
    """One HTTP client; a context manager."""

    def __init__(self, network: Network) -> None:
        """Open nothing yet."""
        self.network = network
        self._has_answered = False

    @cached_property
    def _client(self) -> httpx.Client:
        """The client, made when needed: it reads all certificates. Proxies are taken from the environment."""
        return httpx.Client(
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            timeout=self.network.timeout_seconds,
            # Sizes and ranges are to be those of the file, not of a compressed copy.
            headers={"User-Agent": f"pyggml/{__version__}", "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> "Session":
        """Give the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            self._client.close()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Open a response whose body is still to be read.

        httpx drops the Authorization header when a redirect leads to another origin. Raises DownloadError for a
        status that will not change, InterruptedDownloadError for one that may.
        """
        with self._client.stream("GET", url, headers=dict(headers)) as response:
            self._has_answered = True
            if response.status_code in _BUSY:
                raise InterruptedDownloadError(f"it answered with status {response.status_code}")
            if response.status_code >= 400 and response.status_code != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise DownloadError(f"{shown(url)}: {_explain_status(response)}")
            yield response

    def get_json(self, url: str, headers: Mapping[str, str]) -> tuple[Any, httpx.Response]:
        """Fetch and parse a document; give the response too, for its headers."""

        def attempt() -> tuple[Any, httpx.Response]:
            body = bytearray()
            with self.get(url, headers) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_JSON_BYTES:
                        raise DownloadError(f"{shown(url)}: the answer is longer than {MAX_JSON_BYTES:,} bytes")
            try:
                return json.loads(body), response
            except (ValueError, RecursionError) as error:
                raise DownloadError(f"{shown(url)}: the answer is no JSON: {error}") from error

        return self.patiently(attempt, url)

    def patiently(self, attempt: Callable[[], _Result], url: str) -> _Result:
        """Repeat an attempt while it is interrupted, `n_attempts` times at most.

        Raises UnreachableError if the server never gave a sound answer, DownloadError if downloads kept breaking off.
        """
        reason = ""
        for index in range(self.network.n_attempts):
            if index:
                time.sleep(self.network.backoff_seconds * 2 ** (index - 1))
            try:
                return attempt()
            except httpx.TooManyRedirects as error:
                raise DownloadError(f"{shown(url)}: more than {MAX_REDIRECTS} redirects, probably a loop") from error
            except httpx.UnsupportedProtocol as error:
                raise DownloadError(f"{shown(url)}: a redirect leads to no web address: {error}") from error
            except (httpx.TransportError, InterruptedDownloadError) as error:
                # Who cannot be reached at all will not be in a minute: say so at once.
                if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and not self._has_answered:
                    raise UnreachableError(_no_connection(error)) from error
                reason = str(error) or type(error).__name__
        raise UnreachableError(
            f"{shown(url)}: the download broke off {self.network.n_attempts} times, the last time because {reason}; "
            "what has arrived is kept: run the same command again to go on from there"
        )


def shown(url: str) -> str:
    """Write a URL without what may be secret in it: the user and the query."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}{parsed.path}"


def _no_connection(error: httpx.TransportError) -> str:
    host = error.request.url.netloc.decode("ascii")  # a redirect may have led elsewhere
    reason = str(error) or type(error).__name__
    return (
        f"no connection to {host}: {reason}; check the network, or use --offline for what is in the cache, "
        "or -m FILE for a file of your own"
    )


def _explain_status(response: httpx.Response) -> str:
    match response.status_code:
        case 401 | 403:
            return (
                f"access denied (status {response.status_code}): it is private, or gated, or does not exist; "
                "for a private or gated model of Hugging Face accept its terms there and give a token "
                "with HF_TOKEN or --hf-token"
            )
        case 404 | 410:
            return f"not found (status {response.status_code}); check the name"
        case status:
            return f"the server refuses with status {status} {response.reason_phrase}"
