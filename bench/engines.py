"""The engine `packed` beside our own `eager` and timm, in interleaved rounds.

    python bench/engines.py [NAME...] [--batch 1] [--threads 1] [--rounds 15] [--alone]

timm's network is the same, with the same weights: `timm` as it is, `timm cl` channels last in memory. In each round all
take turns, forwards and then backwards, one pass each to warm up and one that counts. What counts is processor time, on
which other work has less influence; a ratio is the median over rounds, with its tenth and ninetieth percentile.
`wall / cpu` above 1.1 on one thread says that the machine was busy. Set-up is that of `lower`. Networks that do not
agree are not timed. `--alone` leaves timm out.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

import torch
from torch import Tensor, nn

import convscale as cs
from convscale.networks import Padding
from convscale.nn import lower

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import peers

NAMES = ("efficientnet-b0", "efficientnet-b1", "efficientnet-b4", "small-mbconv", "mobilenet-v2", "resnet-50")
Run = Callable[[Tensor], Tensor]


def runs_of(name: str, images: Tensor, alone: bool) -> tuple[dict[str, Run], float]:
    """What is timed, by name, and the seconds of processor time that lowering took."""
    network, peer = cs.network(name), None if alone else peers.NAMES.get(name)
    runs: dict[str, Run] = {}
    if peer is None:
        model = cs.build(network, norm_momentum=1.0, seed=0)
        model(images.expand(4, -1, -1, -1))  # statistics of its own: else rounding grows from block to block
        model.eval()
    else:
        theirs = peers.timm().create_model(peer).eval()
        runs["timm"], runs["timm cl"] = theirs, copy.deepcopy(theirs).to(memory_format=torch.channels_last)
        eps = next(module.eps for module in theirs.modules() if isinstance(module, nn.BatchNorm2d))
        padding: Padding = "same" if peer.startswith("tf_") else "symmetric"
        model = cs.build(replace(network, padding=padding, norm_eps=eps)).eval()
        peers.copy_weights(theirs, model)
    started = time.process_time()
    packed = lower(model)
    seconds = time.process_time() - started
    runs |= {"eager": model.to(memory_format=torch.channels_last), "packed": packed}  # type: ignore[call-overload]
    expected = runs["timm" if "timm" in runs else "eager"](images)
    for one in ("eager", "packed"):
        difference = float((runs[one](images) - expected).abs().max() / expected.abs().max())
        if difference > 1e-4:
            raise SystemExit(f"{name}: {one} differs by {difference:.1e} of the largest logit")
    return runs, seconds


def timed(runs: dict[str, Run], images: dict[str, Tensor], rounds: int) -> tuple[dict[str, list[float]], float]:
    """Seconds of processor time of each, round by round, and wall over processor time of all."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    wall = 0.0
    for index in range(rounds + 1):
        order = list(runs) if index % 2 else list(runs)[::-1]
        for name in order:
            runs[name](images[name])
            before, started = time.perf_counter(), time.process_time()
            runs[name](images[name])
            if index:  # the first round warms up
                found[name].append(time.process_time() - started)
                wall += time.perf_counter() - before
    return found, wall / sum(map(sum, found.values()))


def ratio(slower: list[float], faster: list[float]) -> str:
    """The median over rounds, and the middle eight tenths."""
    ratios = [one / other for one, other in zip(slower, faster, strict=True)]
    tenths = quantiles(ratios, n=10)
    return f"{median(ratios):.2f} ({tenths[0]:.2f} to {tenths[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        for name in options.names:
            side = cs.network(name).resolution
            plain = torch.randn(options.batch, 3, side, side, generator=torch.Generator().manual_seed(0))
            last = plain.contiguous(memory_format=torch.channels_last)
            runs, setup = runs_of(name, plain, options.alone)
            images = {one: plain if one == "timm" else last for one in runs}
            found, busy = timed(runs, images, options.rounds)
            times = ", ".join(f"{one} {1e3 * median(seconds):.2f}" for one, seconds in found.items())
            over = ", ".join(
                f"{one} / packed {ratio(seconds, found['packed'])}" for one, seconds in found.items() if one != "packed"
            )
            print(f"{name}: ms {times}; {over}; set-up {setup:.2f} s; wall / cpu {busy:.2f}", flush=True)


if __name__ == "__main__":
    main()
