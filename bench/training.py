"""Speed of a training step against timm's model of the same network: forward, cross entropy with label smoothing 0.1,
backward, SGD step; dropout and drop path 0.2 on all sides.

    python bench/training.py [--device cpu|cuda] [--rounds 9] [--anyway]

Ours is `train`'s own step, with its loader, normalisation, checks and gradient norm, on images in memory that are
shifted and mirrored; timm's side gets a batch of floats that is there already.

Every side runs in a process of its own; the sides take turns, one round at a time; a ratio is the median over
rounds of ours / theirs. `plain` is timm's model unchanged: eager, contiguous, default allocator. `tuned` is timm's
model with our settings. Where other processes use more than half a core, before or while a case runs, the
line says "busy" instead of a number (--anyway prints both).

On a GPU both sides take bf16 autocast, channels last, torch.compile and a fused optimizer. The roofline is what the
slower of two takes: MACs * 2 * 3 at the speed of a large bf16 product, or kept activations (bf16, written once, read
by the next layer and by the backward pass) at the speed of a copy.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import convscale as cs
from convscale import machine
from convscale.data import Dataset
from convscale.data.images import ArrayImages, steps_per_epoch
from convscale.data.loader import Batch, kept_on_device, training_batches
from convscale.networks import ConvNet
from convscale.nn import autocast, keep_memory
from convscale.nn.processes import Processes
from convscale.recipes import SGD, Augmentation, Recipe
from convscale.runs import Run, Settings
from convscale.training.setup import make_job, make_state
from convscale.training.step import Stepper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import peers

BUSY_CORES = 0.5
WARM_UP_STEPS = 3


@dataclass(frozen=True)
class Case:
    """A network at a size; `peer` is timm's name, or the stages in its arch_def words."""

    network: str
    peer: str
    size: int
    batch: int
    steps: int  # per round
    goal: float | None = None


SMALL = "ds_r1_k3_s1_e1_c16_se0.25 ir_r2_k3_s2_e4_c24_se0.25 ir_r2_k3_s2_e4_c40_se0.25 ir_r2_k3_s2_e4_c80_se0.25"
CPU_CASES = (
    Case("efficientnet-b0", "efficientnet_b0", 224, 16, 2, 1.9),
    Case("efficientnet-b0", "efficientnet_b0", 32, 128, 4, 2.5),
    Case("small-mbconv", SMALL, 32, 128, 6),
)
GPU_CASES = (
    Case("efficientnet-b0", "efficientnet_b0", 224, 256, 20),
    Case("efficientnet-b3", "efficientnet_b3", 300, 96, 20),
    Case("small-mbconv", SMALL, 32, 2048, 20),
    Case("efficientnet-b0", "efficientnet_b0", 32, 1024, 20),
)


def our_network(case: Case) -> ConvNet:
    """At the case's size and with timm's padding."""
    return replace(cs.network(case.network).at_resolution(case.size), padding="symmetric")


def made_up(count: int, size: int) -> ArrayImages:
    """Images of random pixels."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(256, size=(count, size, size, 3), dtype=np.uint8)
    return ArrayImages(pixels, chance.integers(10, size=count), "made up")


RECIPE = Recipe(
    note="a benchmark", epochs=1, batch=2, learning_rate=0.01, label_smoothing=0.1, dropout=0.2, drop_path=0.2,
    optimizer=SGD(nesterov=False), augmentation=Augmentation(crop="shift", flip=True),
)  # fmt: skip


def our_step(case: Case, device: torch.device) -> Callable[[], None]:
    """The next step of a training that goes on and on."""
    network, images = our_network(case), made_up(2 * case.batch, case.size)
    dataset = Dataset("made up", tuple(map(str, range(network.num_classes))), images, images, "test", 0)
    settings, run = Settings(compile=device.type == "cuda", workers=0), Run(Path(tempfile.mkdtemp()))
    job = make_job(network, dataset, replace(RECIPE, batch=case.batch), run, settings, quiet=True)
    state = make_state(job, Processes())
    state.model.train()
    stepper = Stepper(job, state, steps_per_epoch(images, case.batch), Processes())
    kept = kept_on_device(images, job.preprocessing, device, 0, limit_bytes=1 << 40) or images

    def endless() -> Iterator[Batch]:
        for epoch in itertools.count():
            yield from training_batches(
                kept, job.preprocessing, job.recipe.augmentation, case.batch, seed=0, epoch=epoch
            )

    batches = endless()

    def step() -> None:
        stepper.take(next(batches))
        state.position.total_steps += 1

    return step


def their_model(case: Case, device: torch.device, tuned: bool) -> torch.nn.Module:
    timm = peers.timm()
    if " " not in case.peer:
        model = timm.create_model(case.peer, drop_rate=0.2, drop_path_rate=0.2)
    else:
        from timm.models._efficientnet_builder import decode_arch_def
        from timm.models.efficientnet import EfficientNet

        model = EfficientNet(
            decode_arch_def([[stage] for stage in case.peer.split()]),
            num_classes=10, num_features=256, stem_size=16, fix_stem=True,
            act_layer=torch.nn.SiLU, drop_rate=0.2, drop_path_rate=0.2,
        )  # fmt: skip
        model.conv_stem.stride = (1, 1)
    assert sum(p.numel() for p in model.parameters()) == cs.cost(our_network(case)).params
    model = model.to(device)
    if tuned:
        model = model.to(memory_format=torch.channels_last)
    if device.type == "cuda":
        model.compile()
    return model


def make_step(case: Case, side: str, device: torch.device) -> Callable[[], None]:
    if side == "ours":
        return our_step(case, device)
    tuned = side == "tuned"
    if tuned and device.type == "cpu":
        keep_memory()
    torch.manual_seed(0)
    model = their_model(case, device, tuned)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=tuned or None)
    images = torch.randn(case.batch, 3, case.size, case.size, device=device)
    if tuned:
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (case.batch,), device=device)

    def step() -> None:
        optimizer.zero_grad()
        with autocast(device, "auto"):
            loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()

    return step


def work(case: Case, side: str, device: torch.device) -> None:
    """A side's process: one round per line received, answered with its seconds and its seconds of CPU."""
    if device.type == "cpu":
        torch.set_num_threads(machine.cores())
    step = make_step(case, side, device)
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(WARM_UP_STEPS):
        step()
    synchronise()
    print("ready", flush=True)
    for _ in sys.stdin:
        started, cpu = time.perf_counter(), time.process_time()
        for _ in range(case.steps):
            step()
        synchronise()
        print(time.perf_counter() - started, time.process_time() - cpu, flush=True)


def start(case: Case, side: str, device: str) -> subprocess.Popen[str]:
    """A side in a process of its own, with the default allocator."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-W", "ignore", __file__, "--device", device, "--work", json.dumps([asdict(case), side])]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tell(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Run one round there: its seconds, and its seconds of CPU."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    seconds, cpu = process.stdout.readline().split()
    return float(seconds), float(cpu)


def busy_seconds() -> float | None:
    """Seconds of CPU that all processes have used, where the system says."""
    try:
        user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    except OSError:
        return None
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def others(work: Callable[[], float]) -> float:
    """Cores that other processes used while `work` ran; it returns its own seconds of CPU."""
    before, started = busy_seconds(), time.perf_counter()
    own = work()
    after = busy_seconds()
    if before is None or after is None:
        return 0.0
    return max(0.0, (after - before - own) / (time.perf_counter() - started))


def pause() -> float:
    time.sleep(1)
    return 0.0


def rounds_of(case: Case, sides: tuple[str, ...], device: str, rounds: int) -> tuple[dict[str, list[float]], float]:
    """Images per second of each side in each round, and the cores that others used meanwhile."""
    processes = {side: start(case, side, device) for side in sides}
    rates: dict[str, list[float]] = {side: [] for side in sides}

    def run() -> float:
        own = 0.0
        for _ in range(rounds):
            for side, process in processes.items():
                seconds, cpu = tell(process)
                rates[side].append(case.batch * case.steps / seconds)
                own += cpu
        return own

    try:
        for side, process in processes.items():
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise SystemExit(f"{case.network}: the process of side {side!r} died")
        used = others(run)
    finally:
        for process in processes.values():
            process.communicate()
    return rates, used


def measure(case: Case, sides: tuple[str, ...], device: str, rounds: int, anyway: bool) -> float | None:
    """Print the case's lines; return our median images per second, None where the machine was busy."""
    print(f"{case.network} at {case.size} px, batch {case.batch}")
    before = others(pause)
    if before > BUSY_CORES and not anyway:
        print(f"    busy: other processes use {before:.1f} cores")
        return None
    rates, used = rounds_of(case, sides, device, rounds)
    if max(before, used) > BUSY_CORES:
        print(f"    busy: other processes used {before:.1f} cores before, {used:.1f} during the rounds")
        if not anyway:
            return None
    ours = rates["ours"]
    print(f"    ours   {statistics.median(ours):9.1f} images/s   (others used {used:.1f} cores)")
    for side in sides[:-1]:
        ratios = sorted(a / b for a, b in zip(ours, rates[side], strict=True))
        spread = f"({ratios[len(ratios) // 4]:.2f} to {ratios[-1 - len(ratios) // 4]:.2f})"
        goal = f", goal {case.goal}" if case.goal and side == "plain" else ""
        rate, ratio = statistics.median(rates[side]), statistics.median(ratios)
        print(f"    {side:<6} {rate:9.1f} images/s   ratio {ratio:.2f} {spread}{goal}")
    return statistics.median(ours)


def gpu_seconds(work: Callable[[], Any], repeats: int = 20) -> float:
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


def gpu_limits() -> tuple[float, float]:
    """Operations per second of an 8192-cube bf16 product; bytes per second of a 1 GiB copy, both ways."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    operations = 2 * 8192**3 / gpu_seconds(lambda: a @ b)
    return operations, 2 * (1 << 30) / gpu_seconds(lambda: target.copy_(source))


def roofline(case: Case, limits: tuple[float, float]) -> float:
    """Images per second of a GPU that only computes, or only moves activations, whichever is slower."""
    cost = cs.cost(our_network(case))
    kept = cost.training_memory_bytes_per_image / 2  # the cost is of float32
    return 1 / max(cost.macs * 2 * 3 / limits[0], kept * 3 / limits[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--anyway", action="store_true", help="print numbers of a busy machine too")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        case, side = json.loads(options.work)
        work(Case(**case), side, torch.device(options.device))
        return
    versions = {**machine.versions(("torch", "timm")), "threads": machine.cores(), "load": machine.load_average()}
    print("  ".join(f"{name} {value}" for name, value in versions.items()))
    if options.device == "cpu":
        for case in CPU_CASES:
            measure(case, ("plain", "tuned", "ours"), "cpu", options.rounds, options.anyway)
        return
    if not torch.cuda.is_available():
        print("no GPU here: nothing measured")
        return
    limits = gpu_limits()
    print(f"{torch.cuda.get_device_name()}: {limits[0] / 1e12:.0f} TFLOP/s in bf16, {limits[1] / 1e9:.0f} GB/s")
    torch.cuda.empty_cache()
    for case in GPU_CASES:
        rate = measure(case, ("tuned", "ours"), "cuda", options.rounds, options.anyway)
        if rate is not None:
            print(f"    {rate / roofline(case, limits):.0%} of the roofline ({roofline(case, limits):.0f} images/s)")


if __name__ == "__main__":
    main()
