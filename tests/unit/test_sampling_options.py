import dataclasses
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import SamplingError
from pyggml.sampling import DEFAULT_SAMPLERS, SamplingOptions, samplers_from_letters, samplers_from_names
from pyggml.sampling.names import LETTERS

INTEGERS = ("top_k", "repeat_last_n", "dry_allowed_length", "dry_penalty_last_n", "mirostat", "min_keep", "n_probs")
FLOATS = tuple(field.name for field in dataclasses.fields(SamplingOptions) if field.type is float)


def test_defaults_of_llama_cpp() -> None:
    assert dataclasses.asdict(SamplingOptions()) == {
        "seed": None,
        "temperature": 0.8,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.05,
        "typical_p": 1.0,
        "top_n_sigma": -1.0,
        "xtc_probability": 0.0,
        "xtc_threshold": 0.1,
        "dynatemp_range": 0.0,
        "dynatemp_exponent": 1.0,
        "repeat_last_n": 64,
        "repeat_penalty": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "dry_multiplier": 0.0,
        "dry_base": 1.75,
        "dry_allowed_length": 2,
        "dry_penalty_last_n": 64,
        "dry_sequence_breakers": ("\n", ":", '"', "*"),
        "mirostat": 0,
        "mirostat_eta": 0.1,
        "mirostat_tau": 5.0,
        "adaptive_target": -1.0,
        "adaptive_decay": 0.9,
        "logit_bias": {},
        "ignore_eos": False,
        "samplers": ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"),
        "min_keep": 0,
        "n_probs": 0,
    }


def test_options_are_values() -> None:
    assert SamplingOptions(top_k=5, logit_bias={3: 1.0}) == SamplingOptions(top_k=5, logit_bias={3: 1.0})
    assert hash(SamplingOptions(logit_bias={3: 1.0})) == hash(SamplingOptions(logit_bias={3: 1.0}))
    assert dataclasses.replace(SamplingOptions(top_k=5), seed=1).top_k == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        SamplingOptions().top_k = 1  # type: ignore[misc]  # that it cannot be set is the point


def test_a_later_change_of_the_biases_does_not_matter() -> None:
    biases = {1: 2.0}
    options = SamplingOptions(logit_bias=biases)
    biases[2] = 3.0
    assert options.logit_bias == {1: 2.0}


@pytest.mark.parametrize(("seed", "expected"), [(None, True), (-1, True), (2**32 - 1, True), (0, False), (42, False)])
def test_random_seeds(seed: int | None, expected: bool) -> None:
    assert SamplingOptions(seed=seed).is_seed_random == expected


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("seed", -2, "from -1 to 4294967295"),
        ("seed", 2**32, "from -1 to 4294967295"),
        ("seed", 1.5, "a whole number from -1 to 4294967295"),
        ("top_k", 2**31, "from -2147483648 to 2147483647"),
        ("repeat_last_n", -1, "from 0 to 2147483647"),
        ("dry_penalty_last_n", -1, "from 0 to 2147483647"),
        ("dry_allowed_length", -(2**31) - 1, "from -2147483648 to 2147483647"),
        ("mirostat", 3, "from 0 to 2"),
        ("mirostat", -1, "from 0 to 2"),
        ("min_keep", -1, "from 0 to 2147483647"),
        ("n_probs", -1, "from 0 to 2147483647"),
        ("repeat_penalty", 0.0, "from 2.93874e-39 to 3.40282e+38"),
        ("repeat_penalty", -1.1, "from 2.93874e-39 to 3.40282e+38"),
        ("repeat_penalty", 1e-40, "from 2.93874e-39 to 3.40282e+38"),
        ("repeat_penalty", math.inf, "from 2.93874e-39 to 3.40282e+38"),
        ("frequency_penalty", math.nan, "a finite float32"),
        ("presence_penalty", -math.inf, "a finite float32"),
        ("dry_base", 0.99, "from 1 to 3.40282e+38"),
        ("adaptive_decay", 1.0, "from 0 to 0.99"),
        ("adaptive_decay", -0.1, "from 0 to 0.99"),
        ("temperature", 1e39, "a finite float32"),
    ],
)
def test_values_out_of_range(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(SamplingError, match=rf"^{field} is {re.escape(repr(value))}; allowed: .*{re.escape(allowed)}$"):
        SamplingOptions(**{field: value})


@pytest.mark.parametrize("field", INTEGERS)
@pytest.mark.parametrize("value", ["4", None, True, 1.0])
def test_integers_of_another_type(field: str, value: Any) -> None:
    with pytest.raises(SamplingError, match=rf"^{field} is {re.escape(repr(value))}; allowed: a whole number"):
        SamplingOptions(**{field: value})


@pytest.mark.parametrize("field", FLOATS)
@pytest.mark.parametrize("value", ["0.5", None, True, math.nan, math.inf])
def test_floats_of_another_type(field: str, value: Any) -> None:
    with pytest.raises(
        SamplingError, match=rf"^{field} is {re.escape(repr(value))}; allowed: a (finite float32|number from .*)$"
    ):
        SamplingOptions(**{field: value})


def test_every_field_is_checked() -> None:
    others = {"seed", "ignore_eos", "logit_bias", "samplers", "dry_sequence_breakers"}
    assert {*INTEGERS, *FLOATS, *others} == {field.name for field in dataclasses.fields(SamplingOptions)}


def test_ignore_eos_of_another_type() -> None:
    with pytest.raises(SamplingError, match=r"^ignore_eos is 'no'; allowed: True or False$"):
        SamplingOptions(ignore_eos="no")  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize(
    ("biases", "message"),
    [
        ({-1: 1.0}, "logit_bias: token is -1; allowed: a whole number from 0"),
        ({7: math.nan}, "logit_bias of token 7 is nan; allowed: a number from -inf to inf"),
        ({7: "1"}, "logit_bias of token 7 is '1'; allowed: a number"),
    ],
)
def test_biases_that_cannot_be(biases: dict[int, Any], message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        SamplingOptions(logit_bias=biases)


@pytest.mark.parametrize("field", ["samplers", "dry_sequence_breakers"])
@pytest.mark.parametrize("value", ["top_k", (1, 2)])
def test_sequences_that_are_none(field: str, value: Any) -> None:
    with pytest.raises(SamplingError, match=rf"^{field} is {re.escape(repr(value))}; allowed: a sequence of strings"):
        SamplingOptions(**{field: value})


def test_breakers_that_are_no_text() -> None:
    with pytest.raises(SamplingError, match=r"^dry_sequence_breakers holds 'a\\ud800'; allowed: text that can be"):
        SamplingOptions(dry_sequence_breakers=("a\ud800",))


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **{name: st.floats(1.0, 100.0) for name in FLOATS if name != "adaptive_decay"},
            "adaptive_decay": st.floats(0.0, 0.99),
            "top_k": st.integers(-(2**31), 2**31 - 1),
            "mirostat": st.integers(0, 2),
            "samplers": st.lists(st.sampled_from(sorted(LETTERS.values()))),
            "logit_bias": st.dictionaries(st.integers(0, 1000), st.floats(allow_nan=False)),
        },
    )
)
def test_what_is_allowed_is_kept(settings_: dict[str, Any]) -> None:
    options = SamplingOptions(**settings_)
    for name, value in settings_.items():
        assert getattr(options, name) == (tuple(value) if name == "samplers" else value)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        *[("top_k", "top_k"), ("top-k", "top_k"), ("topk", "top_k"), ("TOP_K", "top_k"), ("nucleus", "top_p")],
        *[("temp", "temperature"), ("typ", "typ_p"), ("typical-p", "typ_p"), ("topnsigma", "top_n_sigma")],
    ],
)
def test_names(name: str, canonical: str) -> None:
    assert samplers_from_names([name]) == (canonical,)
    assert SamplingOptions(samplers=(name,)).samplers == (canonical,)


def test_letters() -> None:
    assert samplers_from_letters("edskypmxt") == DEFAULT_SAMPLERS
    assert samplers_from_letters("a") == ("adaptive_p",)
    assert samplers_from_letters("") == ()


@pytest.mark.parametrize("name", ["infill", "top", ""])
def test_unknown_names(name: str) -> None:
    with pytest.raises(
        SamplingError, match=f"^samplers: '{name}' is not known; allowed: penalties, dry, .*adaptive_p$"
    ):
        SamplingOptions(samplers=("top_k", name))


def test_unknown_letters() -> None:
    with pytest.raises(SamplingError, match=r"^samplers: the letter 'i' is not known; allowed: e \(penalties\), d"):
        samplers_from_letters("ki")


METADATA = {
    "general.sampling.sequence": "top_k;temp",
    "general.sampling.top_k": 20,
    "general.sampling.top_p": 0.8,
    "general.sampling.min_p": 0.01,
    "general.sampling.xtc_probability": 0.1,
    "general.sampling.xtc_threshold": 0.2,
    "general.sampling.temp": 0.7,
    "general.sampling.penalty_last_n": 128,
    "general.sampling.penalty_repeat": 1.05,
    "general.sampling.mirostat": 2,
    "general.sampling.mirostat_tau": 4.0,
    "general.sampling.mirostat_eta": 0.2,
    "general.name": "other",
}
RECOMMENDED: dict[str, Any] = {
    "samplers": ("top_k", "temperature"),
    "top_k": 20,
    "top_p": 0.8,
    "min_p": 0.01,
    "xtc_probability": 0.1,
    "xtc_threshold": 0.2,
    "temperature": 0.7,
    "repeat_last_n": 128,
    "repeat_penalty": 1.05,
    "mirostat": 2,
    "mirostat_tau": 4.0,
    "mirostat_eta": 0.2,
}


def test_metadata_is_used() -> None:
    assert SamplingOptions.from_metadata(METADATA) == SamplingOptions(**RECOMMENDED)
    assert SamplingOptions.from_metadata({}, seed=3) == SamplingOptions(seed=3)


@pytest.mark.parametrize("field", RECOMMENDED)
def test_the_user_overrides_metadata(field: str) -> None:
    default = getattr(SamplingOptions(), field)
    options = SamplingOptions.from_metadata(METADATA, **{field: default})
    assert options == SamplingOptions(**(RECOMMENDED | {field: default}))


@pytest.mark.parametrize(
    ("found", "kept"), [(0.949999988079071, 0.95), (1e-7, 0.0), (0.123456789, 0.123457), ("0.7", 0.7), (1, 1.0)]
)
def test_metadata_has_six_decimals(found: object, kept: float) -> None:
    assert SamplingOptions.from_metadata({"general.sampling.top_p": found}).top_p == kept


def test_metadata_integers_are_cut() -> None:
    assert SamplingOptions.from_metadata({"general.sampling.top_k": 20.9}).top_k == 20


@pytest.mark.parametrize("value", ["many", [1], True, math.nan, math.inf])
def test_metadata_that_is_no_number(value: Any) -> None:
    with pytest.raises(
        SamplingError, match=r"^general.sampling.top_k in the file's metadata is .*; allowed: a number$"
    ):
        SamplingOptions.from_metadata({"general.sampling.top_k": value})
    assert SamplingOptions.from_metadata({"general.sampling.top_k": value}, top_k=7).top_k == 7


def test_metadata_out_of_range() -> None:
    with pytest.raises(SamplingError, match=r"^mirostat is 5; allowed: a whole number from 0 to 2"):
        SamplingOptions.from_metadata({"general.sampling.mirostat": 5})
    with pytest.raises(SamplingError, match=r"^samplers: 'infill' is not known"):
        SamplingOptions.from_metadata({"general.sampling.sequence": "infill"})
