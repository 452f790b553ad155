"""New towers, and a wider and deeper tower that computes what the trained one computes.

Channels are doubled (Net2Net, T. Chen et al. 2015): a copy of every channel, head and hidden unit, with the weights
behind them shared out unevenly between the two, so that training tells them apart. Layer norms see the same means and
deviations. New blocks add nothing at first: their last matrices are zero.
"""

import torch
from torch import Tensor

from demo_models.qwen2vl import Weights
from demo_models.shape import Shape

_LAST = ("attn.proj.weight", "mlp.fc2.weight")  # matrices that write to the residual stream


def doubled_tower(weights: Weights, n_layers: int, seed: int = 0) -> Weights:
    """The weights with a tower of twice the width and `n_layers` blocks."""
    generator = torch.Generator().manual_seed(seed)
    grown = {
        name: _doubled(name, value, generator) if name.startswith("visual.") else value
        for name, value in weights.items()
    }
    block = {name: value for name, value in grown.items() if name.startswith("visual.blocks.0.")}
    n_old = sum(name.startswith("visual.") and name.endswith("norm1.weight") for name in grown)
    for layer in range(n_old, n_layers):
        for name, value in block.items():
            fresh = _fresh(name, tuple(value.shape), generator)
            grown[name.replace("blocks.0.", f"blocks.{layer}.")] = torch.zeros_like(fresh) if _is_last(name) else fresh
    return grown


def fresh_tower(shape: Shape, seed: int = 0) -> Weights:
    """Random weights of a tower."""
    generator = torch.Generator().manual_seed(seed)
    width, merged = shape.tower_width, 4 * shape.tower_width
    sizes: dict[str, tuple[int, ...]] = {"patch_embed.proj.weight": (width, 3, 2, shape.patch, shape.patch)}
    linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width), "mlp.fc1": (merged, width)}
    linear["mlp.fc2"] = (width, merged)
    for layer in range(shape.tower_layers):
        block = f"blocks.{layer}."
        for name in ("norm1", "norm2"):
            sizes |= {f"{block}{name}.{part}": (width,) for part in ("weight", "bias")}
        for name, (n_out, n_in) in linear.items():
            sizes |= {f"{block}{name}.weight": (n_out, n_in), f"{block}{name}.bias": (n_out,)}
    sizes |= {"merger.ln_q.weight": (width,), "merger.ln_q.bias": (width,)}
    for name, n_out in (("merger.mlp.0", merged), ("merger.mlp.2", shape.width)):
        sizes |= {f"{name}.weight": (n_out, merged), f"{name}.bias": (n_out,)}
    return {f"visual.{name}": _fresh(name, size, generator) for name, size in sizes.items()}


def _is_last(name: str) -> bool:
    return name.endswith(_LAST)


def _fresh(name: str, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if len(size) == 1:
        is_scale = name.endswith(("norm1.weight", "norm2.weight", "ln_q.weight"))
        return torch.ones(size) if is_scale else torch.zeros(size)
    return torch.randn(size, generator=generator) * 0.02


def _doubled(name: str, value: Tensor, generator: torch.Generator) -> Tensor:
    """A tensor of the tower for inputs and outputs that come twice, the copies behind the originals."""
    if "merger.mlp.2" in name:  # what leaves the tower comes once
        return value if value.ndim == 1 else _shared_out(value, 1, generator)
    # Queries, keys and values lie behind one another: each gets its copy.
    parts = value.chunk(3) if "attn.qkv" in name else (value,)
    twice = torch.cat([copy for part in parts for copy in (part, part)])
    if value.ndim != 2:
        return twice
    return _shared_out(twice, 4 if "merger.mlp.0" in name else 1, generator)


def _shared_out(value: Tensor, n_groups: int, generator: torch.Generator) -> Tensor:
    """The matrix (out, in) for inputs that come twice, in each of the groups one after the other."""
    share = 0.25 + 0.5 * torch.rand(value.shape, generator=generator)
    halves = (part.chunk(n_groups, dim=1) for part in (value * share, value * (1 - share)))
    return torch.cat([part for pair in zip(*halves, strict=True) for part in pair], dim=1)
