"""`python -m benchmarks.serving` with few requests; the part of llama-server is played by `pyggml serve`."""

import asyncio
import json
import sys
from pathlib import Path

import click.testing
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.programs import Program
from benchmarks.serving import clients
from benchmarks.serving.__main__ import main
from benchmarks.serving.clients import Request, random_requests
from benchmarks.serving.servers import Settings, llama_server, running
from pyggml.package_data import demo_model

TINY = ("-t", "1", "--requests", "1", "-p", "4", "-n", "3", "-np", "2", "-c", "256", "-r", "1")
PRETENDER = f"""#!/bin/sh
[ "$1" = --version ] && echo "version: 9" && exit
echo "$@" >> "$0.log"
exec {sys.executable} -m pyggml serve "$@"
"""


def script(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_beside_a_llama_server(tmp_path: Path) -> None:
    program, target = script(tmp_path / "llama-server", PRETENDER), tmp_path / "figures.json"
    arguments = (*TINY, "--clients", "1,2", "--http", "2", "--llama-server", str(program), "--json", str(target))
    result = click.testing.CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines() if "| demo" in line]
    tests = [
        *("1 client", "1 client, first token p50", "1 client, first token p95"),
        *("2 clients", "2 clients, first token p50", "2 clients, first token p95"),
        *("HTTP adds to a request", "HTTP adds to a token"),
    ]
    assert [row[2] for row in rows] == tests
    assert all(float(row[6]) > 0 for row in rows[:6])
    stored = json.loads(target.read_text())
    assert stored["conditions"]["llama_cpp"] == "llama.cpp (version: 9)"
    assert [len(each["samples"][1]) for each in stored["figures"]] == [1, 1, 1, 1, 2, 2, 0, 0]
    assert (tmp_path / "llama-server.log").read_text().startswith(f"-m {demo_model()} -t 1 -np 2 -c 512 --host")


def test_pyggml_alone() -> None:
    result = click.testing.CliRunner().invoke(main, (*TINY, "--clients", "1", "--http", "0"))
    assert result.exit_code == 0, result.output
    assert result.stdout.count("| demo") == 3
    assert "llama cpp: None" in result.stdout


def test_errors(tmp_path: Path) -> None:
    result = click.testing.CliRunner().invoke(main, ("--json", "no/such/figures.json"))
    assert "--json no/such/figures.json: there is no folder" in result.output
    with pytest.raises(BenchmarkError, match=r"--llama-server .*missing: it cannot be run: No such file.*; build it"):
        llama_server(tmp_path / "missing")
    failing = script(tmp_path / "failing", "#!/bin/sh\necho what >&2; exit 3")
    with pytest.raises(BenchmarkError, match=r"--version ended with status 3: what; is it llama-server\?"):
        llama_server(failing)
    with (
        pytest.raises(BenchmarkError, match="it: the server ended with status 3: what"),
        running(Program("it", (str(failing),)), Settings(demo_model(), 1, 1, 256)),
    ):
        pass


def test_an_answer_that_is_not_whole() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b'HTTP/1.1 400 Bad Request\r\n\r\n{"error": "no"}')
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            await clients.ask(server.sockets[0].getsockname()[1], Request((1,), 2))

    with pytest.raises(BenchmarkError, match=r"an answer does not end with 2 tokens, but with .*400 Bad Request"):
        asyncio.run(ask())


def test_requests_can_be_repeated() -> None:
    one, two = (random_requests(3, 8, 2, 100, seed=5) for _ in range(2))
    assert one == two
    assert len({each.prompt for each in one}) == 3
