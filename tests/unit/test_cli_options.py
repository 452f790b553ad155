"""The options of `pyggml run`: their names, values, defaults, and what reaches the model."""

import re
import shlex
import warnings
from collections.abc import Callable
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.cli import running
from pyggml.cli.parameter_types import gpu_layers, logit_bias, text
from pyggml.cli.run import run_command
from pyggml.cli.running import RunOptions
from pyggml.cli.sampling_options import FLAGS
from pyggml.placement import Placement
from pyggml.sampling import SamplingOptions
from tests.unit.cli_fakes import FakeModel
from tests.unit.cli_running import invoke, run_fake

NAMES = sorted(
    name
    for option in run_command.params
    if isinstance(option, click.Option)
    for name in (*option.opts, *option.secondary_opts)
)
LLAMA_CPP_NAMES = shlex.split("""
    -m --model -p --prompt -f --file -n --predict --n-predict -c --ctx-size -b --batch-size -ub --ubatch-size -t
    --threads -tb -s --seed --temp --temperature --top-k --top-p --min-p --top-nsigma --top-n-sigma --typical
    --typical-p --xtc-probability --xtc-threshold --repeat-last-n --repeat-penalty --presence-penalty
    --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n
    --dry-sequence-breaker --dynatemp-range --dynatemp-exp --mirostat --mirostat-lr --mirostat-ent
    --adaptive-target --adaptive-decay --samplers --sampler-seq --sampling-seq -l --logit-bias --ignore-eos -e
    --escape --no-escape -r --reverse-prompt -st --single-turn -sys --system-prompt -sysf --system-prompt-file -i
    --interactive -if --interactive-first -mli --multiline-input -cnv --conversation -no-cnv --no-conversation
    --chat-template --chat-template-file -co --color --display-prompt --no-display-prompt --keep --context-shift
    --no-context-shift -ctk --cache-type-k -ctv --cache-type-v --prompt-cache --prompt-cache-all --prompt-cache-ro
    -dev --device -sm --split-mode -mg --main-gpu -ts --tensor-split -ot --override-tensor -kvo
    --kv-offload -nkvo --no-kv-offload
    -ngl --gpu-layers --n-gpu-layers -mu --model-url -hf -hfr --hf-repo -hff --hf-file -hft --hf-token --offline
    -mm --mmproj --no-mmproj --mmproj-offload --no-mmproj-offload --image --image-min-tokens --image-max-tokens
    --in-prefix --in-suffix --verbose-prompt -v --verbose --perf --no-perf --show-timings --no-show-timings -sp
    --special -fa --flash-attn --simple-io --warmup --no-warmup --jinja --grammar --grammar-file -j
    --json-schema -jf --json-schema-file
""")

Parse = Callable[..., RunOptions]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Parse:
    """Give what `pyggml run` makes of its arguments."""

    def parse(*arguments: str) -> RunOptions:
        seen: list[RunOptions] = []

        def run(options: RunOptions) -> int:
            seen.append(options)
            return 0

        monkeypatch.setattr(running, "run", run)
        result = invoke("run", *arguments)
        assert result.exit_code == 0, result.stderr
        return seen[0]

    return parse


def test_names_are_those_of_llama_cpp() -> None:
    assert set(LLAMA_CPP_NAMES) <= set(NAMES)
    assert set(NAMES) - set(LLAMA_CPP_NAMES) == {
        "--debug",
        "--format-file",
        "--modelscope",
        "--no-color",
        "--threads-batch",
        "--no-jinja",
    }


def test_help_tells_every_default() -> None:
    assert {flag.field: flag.default for flag in FLAGS} | {"seed": "None"} == {
        flag.field: str(getattr(SamplingOptions(), flag.field)) for flag in FLAGS
    }
    plain = re.sub(r"\s+", " ", invoke("run", "--help").stdout)
    for name in set(LLAMA_CPP_NAMES) - {
        "-tb",
        "-fa",
        "--flash-attn",
        "--simple-io",
        "--warmup",
        "--no-warmup",
        "--jinja",
    }:
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", plain), name
    for option in run_command.params:
        default: Any = option.get_default(click.Context(run_command))
        if getattr(option, "hidden", False) or not isinstance(default, (bool, int, str)):
            continue
        shown = getattr(option, "default_text", None)
        word = ("off", "on")[default] if isinstance(default, bool) else str(default)
        if not (default is False and shown is None):  # a flag that is not given is off
            assert str(shown).split(",")[0] == word, option.name


def test_nothing_given(parse: Parse) -> None:
    options = parse()
    assert options.sampling == {}
    assert options.source.model is None
    assert (options.load.ctx_size, options.load.batch_size, options.load.ubatch_size) == (0, 2048, 512)
    assert (options.load.cache_type_k, options.load.gpu_layers) == ("f16", "auto")
    assert (options.length.predict, options.length.keep, options.length.context_shift) == (-1, 0, False)
    assert options.interaction.conversation is None
    assert options.prompt.escape
    assert options.prompt.display_prompt
    assert options.display.perf
    assert options.warnings == ()


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.field)
def test_each_sampling_flag_sets_its_field_alone(parse: Parse, flag: Any) -> None:
    for name in flag.names:
        for value in ("0", "1", "-1") if flag.kind is int else ("0.25", "-1", "3e-2"):
            assert parse(name, value).sampling == {flag.field: flag.kind(value)}
            assert parse(f"{name}={value}" if name.startswith("--") else f"--seed={value}").sampling


@pytest.mark.parametrize(
    ("arguments", "sampling"),
    [
        (["--samplers", "top_k;TEMP"], {"samplers": ("top_k", "TEMP")}),
        (["--sampler-seq", "kt"], {"samplers": ("top_k", "temperature")}),
        (["--sampling-seq", ""], {"samplers": ()}),
        (["-l", "5+1", "-l", "6-inf", "-l", "5-0.5"], {"logit_bias": {5: 0.5, 6: float("-inf")}}),
        (["--ignore-eos"], {"ignore_eos": True}),
        (["--dry-sequence-breaker", r"\n", "--dry-sequence-breaker", "|"], {"dry_sequence_breakers": ("\n", "|")}),
        (["--no-escape", "--dry-sequence-breaker", r"\n"], {"dry_sequence_breakers": (r"\n",)}),
        (["--dry-sequence-breaker", "a", "--dry-sequence-breaker", "none"], {"dry_sequence_breakers": ()}),
    ],
)
def test_other_sampling_options(parse: Parse, arguments: list[str], sampling: dict[str, object]) -> None:
    assert parse(*arguments).sampling == sampling


def test_words_of_one_dash_and_negative_numbers(parse: Parse) -> None:
    options = parse(*shlex.split("-ngl 20 -no-cnv -st -n -1 --temp -1 -c 512 -ub 64 -ctk q8_0 -ctv bf16 -p -st -r -x"))
    assert options.load.gpu_layers == 20
    assert options.interaction.conversation is False
    assert options.interaction.single_turn
    assert options.length.predict == -1
    assert options.sampling == {"temperature": -1.0}
    assert (options.load.ctx_size, options.load.ubatch_size) == (512, 64)
    assert (options.load.cache_type_k, options.load.cache_type_v) == ("q8_0", "bf16")
    assert options.prompt.prompt == "-st"
    assert options.length.reverse_prompt == ("-x",)
    assert parse("-cnv").interaction.conversation is True


@pytest.mark.parametrize(
    ("arguments", "color"),
    [
        ([], "auto"),
        (["--color"], "on"),
        (["-co", "-st"], "on"),
        (["--color", "auto"], "auto"),
        (["--color", "off", "-st"], "off"),
        (["--color=off"], "off"),
    ],
)
def test_color(parse: Parse, arguments: list[str], color: str) -> None:
    assert parse(*arguments).display.color == color
    assert parse("--no-color").display.no_color


def test_underscores_are_dashes(parse: Parse) -> None:
    options = parse("--ctx_size", "7", "--n_predict=3", "-p", "a_b")
    assert (options.load.ctx_size, options.length.predict, options.prompt.prompt) == (7, 3, "a_b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-ctk", "q3"], "'q3' is not one of 'f32', 'f16', 'bf16', 'q8_0'"),
        (["--temp", "warm"], "'warm' is not a valid float"),
        (["--temp"], "requires an argument"),
        (["--tmp", "1"], "No such option.*--tmp.*--temp"),
        (["-c512"], "No such option.*-c512"),
        (["-tz", "1"], "No such option.*-tz"),
        (["-c", "-5"], "-5 is not in the range x>=0"),
        (["-n", "-3"], "-3 is not in the range x>=-2"),
        (["-dev", "CUDA0,"], "'CUDA0,' is no list of devices, such as CUDA0,CUDA1"),
        (["-ot", "ffn_up"], "'ffn_up' is no list of patterns and devices, such as ffn_up=CPU,ffn_down=CUDA0"),
        (["-ts", "3,-1"], "'3,-1' is no list of shares, such as 3,1"),
        (["-ngl", "some"], "'some' is not allowed: a number of layers from 0, 'auto' or 'all' is"),
        (["-l", "5"], "'5' is no token id with a bias, such as 15043\\+1 or 15043-inf"),
        (["file.gguf"], "unexpected extra argument \\(file.gguf\\)"),
        (["--", "-p"], "unexpected extra argument \\(-p\\)"),
        (["-"], "unexpected extra argument \\(-\\)"),
        (["--samplers", "top_k;foo"], "samplers: 'foo' is not known"),
        (["--sampler-seq", "q"], "the letter 'q' is not known"),
        (["--samplers", "top_k", "--sampler-seq", "k"], "--samplers and --sampler-seq both name the samplers"),
        (["--mirostat", "3"], "mirostat is 3; allowed: a whole number from 0 to 2"),
        (["-p", "a", "-f", "b"], "-p and -f both give the text: give one of them"),
        (["-sys", "a", "-sysf", "b"], "-sys and -sysf both give the text: give one of them"),
        (["-f", "/no/such/file"], "-f /no/such/file: the file cannot be read: No such file"),
        (["-m", "a", "-hf", "b/c"], "-m and -hf each name a model: give one of them"),
        (["-hff", "a.gguf"], "-hff names a file of a Hugging Face repository: give the repository with -hf"),
        (["--prompt-cache-all"], "--prompt-cache-all and --prompt-cache-ro need a file"),
        (
            ["--prompt-cache", "a", "--prompt-cache-all", "--prompt-cache-ro"],
            "--prompt-cache-all writes the file and --prompt-cache-ro leaves it",
        ),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    result = run_fake(monkeypatch, FakeModel("x"), *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("pyggml: error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)


def test_file_that_is_not_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "prompt").write_bytes(b"\xff")
    result = run_fake(monkeypatch, FakeModel(), "-f", str(tmp_path / "prompt"))
    assert result.exit_code == 2
    assert "the file is not UTF-8 text" in result.stderr


def test_prompt_from_a_file_or_stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "prompt").write_text("ä\\t\n\n", encoding="utf-8")
    model = FakeModel("x", "y")
    run_fake(monkeypatch, model, "-f", str(tmp_path / "prompt"))
    run_fake(monkeypatch, model, "-f", "-", stdin="ä\\t\n\n")
    assert model.asked == ["<s>ä\t\n"] * 2


def test_loading_gets_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("x")
    run_fake(monkeypatch, model, *shlex.split("-m a.gguf -c 5 -b 6 -ub 7 -t 3 -ctk f32 -ctv q8_0"))
    arguments = model.load_arguments
    assert str(arguments.pop("path")) == "a.gguf"
    assert callable(arguments.pop("on_compile"))
    assert arguments == {
        "n_ctx": 5,
        "n_batch": 6,
        "n_ubatch": 7,
        "n_threads": 3,
        "n_gpu_layers": "auto",
        "devices": None,
        "split_mode": "layer",
        "main_gpu": 0,
        "tensor_split": (),
        "override_tensor": [],
        "kv_offload": True,
        "n_sequences": 1,
        "cache_type_k": "f32",
        "cache_type_v": "q8_0",
        "formats": [],
        "mmproj": None,
        "image_min_tokens": 0,
        "image_max_tokens": 0,
        "mmproj_offload": True,
    }
    model = FakeModel("x")
    run_fake(
        monkeypatch, model, *shlex.split("-dev CUDA1,CUDA0 -sm none -mg 1 -ts 3,1/.5 -ot a=CPU,b(?=c)=CUDA1 -ot d=CPU")
    )
    assert model.load_arguments["devices"] == ("CUDA1", "CUDA0")
    assert (model.load_arguments["split_mode"], model.load_arguments["main_gpu"]) == ("none", 1)
    assert model.load_arguments["tensor_split"] == (3.0, 1.0, 0.5)
    assert model.load_arguments["override_tensor"] == [("a", "CPU"), ("b(?=c)", "CUDA1"), ("d", "CPU")]
    for option in ("-nkvo", "--no-kv-offload"):
        model = FakeModel("x")
        run_fake(monkeypatch, model, option)
        assert model.load_arguments["kv_offload"] is False
    model = FakeModel("x")
    run_fake(monkeypatch, model, "-t", "0")
    assert model.load_arguments["n_threads"] is None
    assert model.load_arguments["path"].name == "demo-text-q8_0.gguf"


def test_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(
        monkeypatch, FakeModel("x"), *shlex.split("-ngl 0 -c 5000 -tb 3 -fa on --no-warmup --jinja --simple-io")
    )
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "pyggml: warning: --threads-batch has no effect: -t alone says how many threads there are, for prompts too",
        "pyggml: warning: --flash-attn has no effect: there is one kind of attention",
        "pyggml: warning: --jinja has no effect: chat templates are always jinja",
        "pyggml: warning: --warmup has no effect: there is no empty run beforehand",
        "pyggml: warning: --simple-io has no effect: input and output are always simple when they are no terminal",
        "pyggml: warning: -c 5000 is more than the 4096 tokens that the model was trained with",
    ]
    assert run_fake(monkeypatch, FakeModel("x"), "-ngl", "0").stderr == ""


def test_what_auto_chose_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("x", "y", "z")
    model.placement = Placement((), 2, "the last 3 of 9 layers on the GPU", n_on_gpu=3)
    assert run_fake(monkeypatch, model).stderr == "the last 3 of 9 layers on the GPU\n"
    assert run_fake(monkeypatch, model, "-ngl", "3").stderr == ""
    assert "layers: the last 3 of 9 layers on the GPU\n" in run_fake(monkeypatch, model, "-ngl", "3", "-v").stderr


@pytest.mark.parametrize(("choice", "n"), [("0", 0), ("20", 20), ("all", "all"), ("auto", "auto")])
def test_layers_for_the_gpu_and_what_loading_says_of_them(
    monkeypatch: pytest.MonkeyPatch, choice: str, n: int | str
) -> None:
    model = FakeModel("x")
    load = model.load

    def load_and_warn(*arguments: Any, **options: Any) -> Any:
        warnings.warn("all layers run on the CPU", RuntimeWarning, stacklevel=1)
        return load(*arguments, **options)

    monkeypatch.setattr(model, "load", load_and_warn)
    result = run_fake(monkeypatch, model, "-ngl", choice)
    assert model.load_arguments["n_gpu_layers"] == n
    assert result.stderr == "pyggml: warning: all layers run on the CPU\n"


def test_the_file_recommends_and_the_user_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("x")
    model.file.metadata.update({"general.sampling.top_k": 7, "general.sampling.temp": 0.5})
    result = run_fake(monkeypatch, model, "-v", "--temp", "0.25", "-s", "3", "--top-p", "1")
    chain = next(line for line in result.stderr.splitlines() if line.startswith("sampler chain"))
    assert "top-k (7)" in chain or re.search(r"top.k\D*7\b", chain)
    assert "0.25" in chain
    assert "(seed 3)" in chain
    assert "model: fake.gguf" in result.stderr
    assert "context: 2048 tokens, 4096 in training; threads: 2" in result.stderr
    assert "chat template: none" in result.stderr


@given(st.integers(0, 10**6), st.floats(allow_nan=False))
@settings(max_examples=200, deadline=None)
def test_logit_bias_is_read_back(token: int, bias: float) -> None:
    decimal = f"{bias:+.12f}" if abs(bias) < 1e12 else f"{bias:+f}"
    assert logit_bias(f"{token}{decimal}") == (token, float(decimal))


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_logit_bias_of_any_text_is_read_or_refused(value: str) -> None:
    try:
        token, bias = logit_bias(value)
    except click.BadParameter:
        return
    assert token >= 0
    assert bias == bias


@given(st.integers(0, 10**9))
@settings(max_examples=50, deadline=None)
def test_gpu_layers(n: int) -> None:
    assert gpu_layers(str(n)) == n
    assert [gpu_layers(word) for word in ("auto", "all", "-1", "-2")] == ["auto", "all", "auto", "all"]
    with pytest.raises(click.BadParameter):
        gpu_layers(str(-n - 3))


@given(st.binary(), st.text())
@settings(max_examples=200, deadline=None)
def test_text_of_the_command_line_is_utf8(raw: bytes, valid: str) -> None:
    assert text(raw.decode("ascii", "surrogateescape")) == raw.decode("utf-8", "replace")
    assert text(raw.decode("utf-8", "surrogateescape")) == raw.decode("utf-8", "replace")
    assert text(valid) == valid
