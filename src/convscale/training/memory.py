"""How much memory training takes, by the cost model, and what fits."""

from __future__ import annotations

from dataclasses import replace

import torch

from convscale.costs import cost
from convscale.errors import TrainingError
from convscale.machine import launched_processes, memory_available_bytes
from convscale.networks import ConvNet
from convscale.nn import pick_device, release_memory
from convscale.progress import print_note
from convscale.recipes import Recipe
from convscale.units import format_bytes

HALVINGS = 4
USABLE_SHARE = 0.8  # of what is free: kernels need room beside the tensors that are counted


def available_bytes(device: torch.device) -> int | None:
    """Free memory where a model computes, None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return memory_available_bytes()


def training_bytes(network: ConvNet, images: int) -> int:
    """Memory of a step on `images` images at once, with RMSProp and EMA, as `cost` counts it."""
    costs = cost(network)
    return costs.training_memory_bytes_fixed + images * costs.training_memory_bytes_per_image


def fitting_images(network: ConvNet, available: int) -> int:
    """The most images at once that the usable share of `available` bytes holds."""
    costs = cost(network)
    room = USABLE_SHARE * available - costs.training_memory_bytes_fixed
    return max(0, int(room // costs.training_memory_bytes_per_image))


def fitting_accumulation(network: ConvNet, recipe: Recipe, world: int, available: int | None) -> int:
    """The fewest parts, doubling from the recipe's, in which a batch fits the memory.

    Raises TrainingError where not even two images at once do.
    """
    accumulation = recipe.accumulation
    if available is None:
        return accumulation
    images = recipe.batch // world
    while -(-images // accumulation) > fitting_images(network, available):
        if images // (2 * accumulation) < 2:
            raise TrainingError(
                f"two images at once need {format_bytes(training_bytes(network, 2))}, "
                f"{format_bytes(available)} are free",
                hint="a network with less training memory, or a smaller resolution",
            )
        accumulation *= 2
    return accumulation


def fitted_to_memory(network: ConvNet, recipe: Recipe) -> Recipe:
    """The recipe with its batch in as many parts as the memory of this machine asks for."""
    world = launched_processes()
    available = available_bytes(pick_device())
    share = available // world if available is not None and pick_device().type == "cpu" else available
    return replace(recipe, accumulation=fitting_accumulation(network, recipe, world, share))


# What PyTorch says where memory runs out: its own allocators, C++, and oneDNN, which names no reason.
_NO_PRIMITIVE = "could not create a primitive"
_OUT_OF_MEMORY = ("allocate memory", "out of memory", "bad_alloc", _NO_PRIMITIVE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch or Python means that memory ran out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)


def recover(message: str) -> None:
    """Give memory back after PyTorch failed with `message`. Call it when the error, which holds tensors, is gone.

    Once oneDNN had no memory for the code of a convolution it makes none in this thread any more, however much is free
    (its generator keeps the first error). PyTorch's own convolutions, which are slower, take over then.
    """
    release_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # pieces that no larger tensor fits
    if _NO_PRIMITIVE in message and torch.backends.mkldnn.enabled:
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
        print_note("convolutions continue without oneDNN, more slowly: it does not recover from running out of memory")


def smaller_parts(network: ConvNet, recipe: Recipe, accumulation: int, world: int) -> int:
    """Twice as many parts for a batch that did not fit.

    Raises TrainingError with a number that would fit where that was tried often enough, or parts would be too small
    for batch norm, or other processes would not follow.
    """
    images = recipe.batch // world
    doubled = accumulation * 2
    if world > 1 or doubled > recipe.accumulation * 2**HALVINGS or images // doubled < 2:
        available = available_bytes(pick_device())
        fits = fitting_images(network, available) if available is not None else images // (2 * doubled)
        raise TrainingError(
            f"out of memory with {-(-images // accumulation)} images at once",
            hint=f"by the cost model {max(fits, 0)} fit: --batch auto, or --set accumulation={2 * doubled}",
        )
    return doubled
