"""Networks of published benchmarks, built from what the benchmark calls them."""

from __future__ import annotations

from itertools import groupby

from convscale.errors import ConfigError
from convscale.networks import Block, Conv, ConvNet, ConvPool, MBConv, Row, Stage, Stem

# NAS-Bench-Macro's stages: blocks, channels. The first block of each halves the map.
_MACRO_STAGES = ((2, 64), (3, 128), (3, 256))
_MACRO_BLOCKS = {"1": MBConv(3, 3, activation="relu"), "2": MBConv(5, 6, activation="relu")}
# What "0" is where the shape changes: a convolution and its norm, no activation. Elsewhere it is nothing.
_MACRO_SHORTCUT = Conv(kernel=1, activation="none")


def nas_bench_macro(choices: str) -> ConvNet:
    """A network of NAS-Bench-Macro (Su et al. 2021, github.com/xiusu/NAS-Bench-Macro): CIFAR-10 at 32 px.

    `choices` are eight digits, one per block, in stages of 2, 3 and 3: "0" no block, "1" MBConv3 k3x3, "2" MBConv6
    k5x5. A "0" that begins a stage is the 1x1 convolution that halves the map. Elsewhere it leaves no layer, so that
    the 6,561 strings are 3,969 distinct networks. Parameters and MACs are exactly the benchmark's `params` and `flops`.

    Raises ConfigError where `choices` are not such digits.
    """
    count = sum(blocks for blocks, _ in _MACRO_STAGES)
    if not isinstance(choices, str) or len(choices) != count or not set(choices) <= {"0", *_MACRO_BLOCKS}:
        raise ConfigError(
            f"{choices!r} is not a network of NAS-Bench-Macro", hint=f"{count} digits of 0, 1 and 2, as '11021220'"
        )
    digits = iter(choices)
    return ConvNet(
        f"nas-bench-macro-{choices}",
        resolution=32,
        stem=Stem(32, stride=1, activation="relu"),
        stages=tuple(
            _macro_stage([next(digits) for _ in range(blocks)], channels) for blocks, channels in _MACRO_STAGES
        ),
        head=ConvPool(1280, activation="relu"),
        num_classes=10,
        padding="symmetric",
        norm_eps=1e-5,
    )


def _macro_stage(digits: list[str], channels: int) -> Stage:
    blocks: list[Block] = [_MACRO_BLOCKS.get(digits[0], _MACRO_SHORTCUT)]
    blocks += [_MACRO_BLOCKS[digit] for digit in digits[1:] if digit != "0"]
    return Stage(channels, 2, tuple(Row(block, len(list(same))) for block, same in groupby(blocks)))
