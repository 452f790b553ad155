"""Lists and ranges on the command line of `pyggml bench`."""

import re
from itertools import pairwise

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.cli.bench_values import (
    cache_types,
    device_lists,
    flash_attention,
    layers,
    numbers,
    override_lists,
    pair,
    share_lists,
    split_modes,
    switches,
)

SMALL = st.integers(0, 3000)


@settings(max_examples=100, deadline=None)
@given(st.lists(SMALL, min_size=1, max_size=10))
def test_a_list_is_its_numbers(values: list[int]) -> None:
    text = ",".join(map(str, values))
    assert numbers(text) == tuple(values) == numbers(text + ",") == layers(text)


@settings(max_examples=200, deadline=None)
@given(SMALL, SMALL, st.integers(1, 50))
def test_a_range_has_all_steps_up_to_its_end(first: int, last: int, step: int) -> None:
    found = numbers(f"{first}-{last}+{step}")
    assert list(found) == [n for n in range(3001) if first <= n <= last and (n - first) % step == 0]
    assert numbers(f"{first}-{last}") == tuple(range(first, last + 1))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3000), SMALL, st.integers(2, 9))
def test_a_range_with_a_factor_has_all_multiples_up_to_its_end(first: int, last: int, factor: int) -> None:
    found = numbers(f"{first}-{last}*{factor}")
    assert all(after == factor * before for before, after in pairwise(found))
    if first > last:
        assert found == ()
    else:
        assert found[0] == first
        assert found[-1] <= last < factor * found[-1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SMALL, st.integers(0, 9)), min_size=1, max_size=4))
def test_a_list_of_ranges_is_their_sum(ranges: list[tuple[int, int]]) -> None:
    parts = [f"{first}-{first + n}" for first, n in ranges]
    assert numbers(",".join(parts)) == tuple(number for part in parts for number in numbers(part))


def test_the_example_of_llama_bench() -> None:
    assert numbers("1-8*2") == (1, 2, 4, 8)
    assert numbers("5,1-3+2,0") == (5, 1, 3, 0)
    assert layers("-1,0,99") == (-1, 0, 99)


@pytest.mark.parametrize("text", ["", ",", "x", "1,,2", "1-", "-5", "1-2-3", "1-8/2", "1-8*", "1 2", "1.5", "٣"])
def test_no_list_of_numbers(text: str) -> None:
    with pytest.raises(click.BadParameter, match=re.escape(repr(text)) + " (is no list of numbers and ranges|holds -)"):
        numbers(text)


@pytest.mark.parametrize("text", ["1-8+0", "1-8*1", "1-8*0", "0-8*2"])
def test_a_range_that_never_ends(text: str) -> None:
    with pytest.raises(
        click.BadParameter, match=re.escape(repr(text)) + " never ends: steps are from 1, factors from 2"
    ):
        numbers(text)


@pytest.mark.parametrize("text", ["0-4000000000+1000000000", "3000000000", "99999999999999999999"])
def test_a_number_too_large(text: str) -> None:
    with pytest.raises(click.BadParameter, match="allowed are 0 to 2147483647"):
        numbers(text)


def test_too_many_numbers() -> None:
    with pytest.raises(click.BadParameter, match="'0-10000' stands for 10001 numbers; allowed are 10000"):
        numbers("0-10000")
    with pytest.raises(click.BadParameter, match="stands for 1000000001 numbers"):
        numbers("0-1000000000")


def test_layers_below_minus_one() -> None:
    with pytest.raises(click.BadParameter, match="'-2' holds -2; allowed are -1 to 2147483647"):
        layers("-2")


def test_pairs() -> None:
    assert pair("512,128") == (512, 128)
    for text in ("512", "512,", "1,2,3", "-1,2", "a,b"):
        with pytest.raises(click.BadParameter, match=f"{text!r} is no pair of numbers, such as 512,128"):
            pair(text)


def test_cache_types() -> None:
    assert cache_types("f16,q8_0") == ("f16", "q8_0")
    with pytest.raises(click.BadParameter, match="'q4_0' is no type of a cache: allowed are f32, f16, bf16, q8_0"):
        cache_types("f16,q4_0")


def test_flash_attention() -> None:
    assert flash_attention("on,off,auto,1,0,-1") == (1, 0, -1, 1, 0, -1)
    with pytest.raises(click.BadParameter, match="'maybe' is not allowed: on, off and auto are"):
        flash_attention("on,maybe")


def test_devices_of_each_test() -> None:
    assert device_lists("auto,CUDA1,CUDA0/CUDA1,none") == (None, ("CUDA1",), ("CUDA0", "CUDA1"), ("none",))
    assert split_modes("none,layer") == ("none", "layer")
    assert share_lists("1,3/1,0;2.5") == ((1.0,), (3.0, 1.0), (0.0, 2.5))
    assert override_lists("a=CPU;b=CUDA0,,c=CPU") == ((("a", "CPU"), ("b", "CUDA0")), (), (("c", "CPU"),))
    assert switches("0,1") == (0, 1)
