"""What tells one decoder architecture from another."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A member of the family that the shared decoder computes."""

    name: str
    """`general.architecture`, and the prefix of its keys."""
    rope_halves: bool
    """Whether rotary embedding pairs a head's first half with its second, instead of neighbours."""
    attention_bias: bool
    """Whether queries, keys and values must have biases; elsewhere a bias is added where the file has one."""
    has_sections: bool = False
    """Whether a token has several positions, one for each section of a head's rotary pairs, and rows may be given in
    place of embeddings."""
