"""Probabilities of tokens, in llama-server's words."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.engine import TextEvent, TokenProbabilities
from pyggml.server.probabilities import complete_text, probabilities_json
from pyggml.tokenizer import Tokenizer


@given(text=st.text(max_size=6), rest=st.sampled_from([b"", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xf0"]))
@settings(max_examples=200, deadline=None)
def test_a_character_that_is_cut_off_is_left_out(text: str, rest: bytes) -> None:
    assert complete_text(text.encode() + rest) == text


@given(piece=st.binary(max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_bytes_have_a_text(piece: bytes) -> None:
    assert complete_text(piece).encode()[:1] in (piece[:1], b"", b"\xef")


class Pieces:
    """As much of a tokenizer as is needed."""

    def piece(self, token: int, *, special: bool) -> bytes:
        return bytes([token])


def test_items() -> None:
    tokenizer: Tokenizer = Pieces()  # type: ignore[assignment]  # the rest of it is not called
    event = TextEvent(65, "A", TokenProbabilities(0.0, ((66, 1.0), (0x80, 0.5))))
    (item,) = probabilities_json(tokenizer, event, post_sampling=False)
    lowest = -3.4028234663852886e38
    assert {**item, "top_logprobs": []} == {
        "id": 65,
        "token": "A",
        "bytes": [65],
        "logprob": lowest,
        "top_logprobs": [],
    }
    assert item["top_logprobs"][0] == {"id": 66, "token": "B", "bytes": [66], "logprob": 0.0}
    assert item["top_logprobs"][1]["bytes"] == [0x80]
    (item,) = probabilities_json(tokenizer, event, post_sampling=True)
    assert (item["prob"], [each["prob"] for each in item["top_probs"]]) == (0.0, [1.0, 0.5])
    assert probabilities_json(tokenizer, TextEvent(65, "A"), post_sampling=False) == []
    assert probabilities_json(tokenizer, TextEvent(None, "A"), post_sampling=False) == []
