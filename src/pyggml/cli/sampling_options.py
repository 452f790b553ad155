"""The flags of the samplers, one for each field of `SamplingOptions`; only what the user gave is passed on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyggml.cli.escapes import process_escapes
from pyggml.cli.parameter_types import LOGIT_BIAS, TEXT
from pyggml.cli.sections import Decorated, section
from pyggml.errors import UsageError


@dataclass(frozen=True)
class SamplingFlag:
    """A flag with a value, the field it sets, and the field's default as the help tells it."""

    field: str
    names: tuple[str, ...]
    kind: Any
    default: str
    help: str


FLAGS = (
    SamplingFlag("seed", ("-s", "--seed"), int, "-1", "Seed of the random numbers; -1: another one each time."),
    SamplingFlag("temperature", ("--temp", "--temperature"), float, "0.8", "0: always the most likely token."),
    SamplingFlag("top_k", ("--top-k",), int, "40", "Keep the k most likely tokens; 0: off."),
    SamplingFlag("top_p", ("--top-p",), float, "0.95", "Keep the most likely tokens that sum up to p; 1: off."),
    SamplingFlag("min_p", ("--min-p",), float, "0.05", "Drop tokens below p times the most likely one; 0: off."),
    SamplingFlag(
        "top_n_sigma", ("--top-nsigma", "--top-n-sigma"), float, "-1.0",
        "Drop logits more than n standard deviations below the largest; -1: off.",
    ),
    SamplingFlag("typical_p", ("--typical", "--typical-p"), float, "1.0", "Locally typical sampling; 1: off."),
    SamplingFlag("xtc_probability", ("--xtc-probability",), float, "0.0", "How often XTC acts; 0: never."),
    SamplingFlag("xtc_threshold", ("--xtc-threshold",), float, "0.1", "What XTC takes for likely; above 0.5: off."),
    SamplingFlag("repeat_last_n", ("--repeat-last-n",), int, "64", "How far back repetitions count; 0: off."),
    SamplingFlag("repeat_penalty", ("--repeat-penalty",), float, "1.0", "Divisor for repeated tokens; 1: off."),
    SamplingFlag("presence_penalty", ("--presence-penalty",), float, "0.0", "Taken from tokens that occurred; 0: off."),
    SamplingFlag("frequency_penalty", ("--frequency-penalty",), float, "0.0", "Taken for each occurrence; 0: off."),
    SamplingFlag("dry_multiplier", ("--dry-multiplier",), float, "0.0", "Strength of the DRY penalty; 0: off."),
    SamplingFlag("dry_base", ("--dry-base",), float, "1.75", "How DRY grows with the length of a repetition."),
    SamplingFlag("dry_allowed_length", ("--dry-allowed-length",), int, "2", "Repetitions this long are free."),
    SamplingFlag("dry_penalty_last_n", ("--dry-penalty-last-n",), int, "64", "How far back DRY looks; 0: off."),
    SamplingFlag("dynatemp_range", ("--dynatemp-range",), float, "0.0", "Vary the temperature by so much; 0: off."),
    SamplingFlag("dynatemp_exponent", ("--dynatemp-exp",), float, "1.0", "How it follows the entropy."),
    SamplingFlag("mirostat", ("--mirostat",), int, "0", "Mirostat 1 or 2 instead of other samplers; 0: off."),
    SamplingFlag("mirostat_eta", ("--mirostat-lr",), float, "0.1", "Mirostat's learning rate."),
    SamplingFlag("mirostat_tau", ("--mirostat-ent",), float, "5.0", "Mirostat's target entropy."),
    SamplingFlag(
        "adaptive_target", ("--adaptive-target",), float, "-1.0",
        "Choose tokens near this probability, if adaptive_p is among the samplers; negative: off.",
    ),
    SamplingFlag("adaptive_decay", ("--adaptive-decay",), float, "0.9", "How slowly adaptive_p adapts."),
)  # fmt: skip

_DEFAULT_SAMPLERS = "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature"

_option = section("Sampling (a model file may recommend other defaults)")
_OTHER_OPTIONS = (
    _option(
        "samplers", "--samplers", metavar="NAMES", default_text=_DEFAULT_SAMPLERS, help="The samplers, in this order."
    ),
    _option(
        "sampler_letters", "--sampler-seq", "--sampling-seq", metavar="LETTERS", default_text="edskypmxt",
        help="The same by letters; a: adaptive_p.",
    ),
    _option(
        "dry_sequence_breakers", "--dry-sequence-breaker", multiple=True, type=TEXT, default_text=r"\n : \" *",
        help="Text that DRY does not look across, instead of the default; may be given again; none: no such text.",
    ),
    _option(
        "logit_bias", "-l", "--logit-bias", multiple=True, type=LOGIT_BIAS,
        help="Add to the logit of a token, as in 15043+1 or 15043-inf; may be given again.",
    ),
    _option("ignore_eos", "--ignore-eos", is_flag=True, help="Go on after the end of the text."),
)  # fmt: skip


def sampling_options(function: Decorated) -> Decorated:
    """Add all of these options."""
    for option in reversed(_OTHER_OPTIONS):
        function = option(function)
    for flag in reversed(FLAGS):
        add = _option(flag.field, *flag.names, type=flag.kind, metavar="N", default_text=flag.default, help=flag.help)
        function = add(function)
    return function


def take_sampling(values: Mapping[str, Any], escape: bool) -> dict[str, Any]:
    """Give the fields of `SamplingOptions` that the user set. Raises UsageError, SamplingError."""
    fields = {flag.field: values[flag.field] for flag in FLAGS if values[flag.field] is not None}
    if values["samplers"] is not None and values["sampler_letters"] is not None:
        raise UsageError("--samplers and --sampler-seq both name the samplers: give one of them")
    if values["samplers"] is not None:
        fields["samplers"] = tuple(values["samplers"].split(";"))
    if values["sampler_letters"] is not None:
        # Imported here, so that the help needs no NumPy.
        from pyggml.sampling.names import samplers_from_letters

        fields["samplers"] = samplers_from_letters(values["sampler_letters"])
    if values["dry_sequence_breakers"]:
        fields["dry_sequence_breakers"] = _sequence_breakers(values["dry_sequence_breakers"], escape)
    if values["logit_bias"]:
        fields["logit_bias"] = _summed(values["logit_bias"])
    if values["ignore_eos"]:
        fields["ignore_eos"] = True
    return fields


def _sequence_breakers(given: Iterable[str], escape: bool) -> tuple[str, ...]:
    breakers: list[str] = []
    for breaker in given:
        if breaker == "none":
            breakers.clear()
        else:
            breakers.append(process_escapes(breaker) if escape else breaker)
    return tuple(breakers)


def _summed(biases: Iterable[tuple[int, float]]) -> dict[int, float]:
    sums: dict[int, float] = {}
    for token, bias in biases:
        sums[token] = sums.get(token, 0.0) + bias
    return sums
