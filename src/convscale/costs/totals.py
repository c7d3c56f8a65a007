"""Costs of a network, and a table of them by layer, block and stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from convscale.costs.blocks import BlockCost, block_cost, layer_cost, layer_memory
from convscale.display import Display, Displayed
from convscale.flattening import AsDict
from convscale.layers import BLOCK_INPUT, BlockGraph, ConvLayer, LayerGraph, MaxPoolLayer, resolve
from convscale.networks import ConvNet
from convscale.units import format_bytes, format_count

BYTES_PER_VALUE = 4  # fp32
# Optimizer state of the paper's RMSProp: a mean square and a momentum buffer for each parameter.
OPTIMIZER_SLOTS = 2
# What the header of weights.safetensors takes at most: for each tensor, each row of the network's table, each class
# (a name of up to 76 bytes), and for the rest together.
HEADER_BYTES_PER_TENSOR = 112
HEADER_BYTES_PER_ROW = 320
HEADER_BYTES_PER_CLASS = 80
HEADER_BYTES_FIXED = 1536


@dataclass(frozen=True, slots=True, repr=False)
class Cost(AsDict, Displayed):
    """What a network costs, for square fp32 inputs at its resolution.

    macs: multiply-adds for one image (the paper's "FLOPS"), of convolutions, squeezes and linear layers.
    activations: values that convolutions put out for one image.
    file_bytes: the weights file, an upper estimate of its header included.
    inference_memory_bytes: weights, the input image and the peak of live tensors at batch 1.
    training_memory_bytes_fixed: weights, gradients, RMSProp's two slots, BN statistics and the EMA of all.
    training_memory_bytes_per_image: what the backward pass keeps per image of a batch.
    """

    name: str
    resolution: int
    num_classes: int
    params: int
    macs: int
    activations: int
    file_bytes: int
    inference_memory_bytes: int
    training_memory_bytes_fixed: int
    training_memory_bytes_per_image: int

    def _display(self) -> Display:
        """Every figure with its unit."""
        figures = {key: getattr(self, key) for key in COST_KEYS}
        rows = tuple(
            (key, format_bytes(value) if "bytes" in key else format_count(value), f"{value:,}")
            for key, value in figures.items()
        )
        return Display(f"Cost of {self.name}: {self.resolution} px, {self.num_classes:,} classes", rows=rows)


COST_KEYS = (
    "params",
    "macs",
    "activations",
    "file_bytes",
    "inference_memory_bytes",
    "training_memory_bytes_fixed",
    "training_memory_bytes_per_image",
)


def cost(network: ConvNet) -> Cost:
    """All costs of a network, from its layer graph; no weights are made and PyTorch is not needed."""
    return graph_cost(resolve(network))


def graph_cost(graph: LayerGraph) -> Cost:
    """All costs of a resolved network."""
    network = graph.network
    runs: list[tuple[BlockCost, int]] = []
    before = None
    for block in (graph.stem, *(block for stage in graph.stages for block in stage), graph.head):
        if block is before:  # resolve puts the very same block there
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((block_cost(block), 1))
        before = block
    rows = sum(len(stage.rows) for stage in network.stages)
    figures = total_costs(runs, network.input_channels * network.resolution**2, rows, network.num_classes)
    return Cost(network.name, network.resolution, network.num_classes, **figures)


def total_costs(runs: Iterable[tuple[BlockCost, int]], image: int, rows: int, num_classes: int) -> dict[str, int]:
    """The cost keys of a chain of blocks, given as runs of equal blocks with their lengths, the stem first.

    image: the values of the input. rows: those of the network's table.
    """
    params = buffers = macs = activations = tensors = peak = kept = 0
    between, between_kept = image, False  # the tensor between two blocks: its values, whether it is kept yet
    beside = 0  # the image, alive beside every block but the stem, whose input it is
    for block, count in runs:
        params += block.params * count
        buffers += block.buffers * count
        macs += block.macs * count
        activations += block.activations * count
        tensors += block.tensors * count
        peak = max(peak, block.peak + beside)
        kept += block.kept * count + (between if between_kept or block.keeps_input else 0)
        between, between_kept = block.out_values, block.keeps_output
        if count > 1 and (between_kept or block.keeps_input):
            kept += between * (count - 1)
        beside = image
    values = params + buffers
    header = (
        HEADER_BYTES_FIXED
        + HEADER_BYTES_PER_TENSOR * tensors
        + HEADER_BYTES_PER_ROW * rows
        + HEADER_BYTES_PER_CLASS * num_classes
    )
    fixed = values + params * (1 + OPTIMIZER_SLOTS) + values
    return {
        "params": params,
        "macs": macs,
        "activations": activations,
        "file_bytes": BYTES_PER_VALUE * values + header,
        "inference_memory_bytes": BYTES_PER_VALUE * (values + peak),
        "training_memory_bytes_fixed": BYTES_PER_VALUE * fixed,
        "training_memory_bytes_per_image": BYTES_PER_VALUE * kept,
    }


@dataclass(frozen=True, slots=True)
class CostRow:
    """Costs of one layer, block or stage.

    inference_memory_bytes: live tensors of its busiest moment at batch 1, the image included, weights not.
    training_memory_bytes_per_image: what the backward pass keeps of it; the image itself belongs to no row.
    receptive_field: the side in input pixels that one output value sees through convolutions and max pools;
    squeezes, which see everything, are left out.
    """

    name: str
    kind: str
    in_channels: int
    in_size: int
    out_channels: int
    out_size: int
    repeats: int
    params: int
    macs: int
    activations: int
    inference_memory_bytes: int
    training_memory_bytes_per_image: int
    receptive_field: int


def layer_rows(network: ConvNet) -> list[CostRow]:
    """One row per layer, in the order they run."""
    return [row for _, rows in _rows(resolve(network)) for row in rows]


def block_rows(network: ConvNet) -> list[CostRow]:
    """One row per block: the stem, every block of every stage, the head."""
    return [_merge(name, block.kind, rows) for (name, block), rows in _rows(resolve(network))]


def stage_rows(network: ConvNet) -> list[CostRow]:
    """One row per stage, with the stem before and the head after them: the shape of the paper's table 1."""
    groups: dict[str, list[CostRow]] = {}
    for row in block_rows(network):
        groups.setdefault(".".join(row.name.split(".")[:2]), []).append(row)
    return [_merge(name, rows[0].kind, rows, len(rows)) for name, rows in groups.items()]


def _merge(name: str, kind: str, rows: list[CostRow], repeats: int = 1) -> CostRow:
    first, last = rows[0], rows[-1]
    return CostRow(
        name=name,
        kind=kind,
        in_channels=first.in_channels,
        in_size=first.in_size,
        out_channels=last.out_channels,
        out_size=last.out_size,
        repeats=repeats,
        params=sum(row.params for row in rows),
        macs=sum(row.macs for row in rows),
        activations=sum(row.activations for row in rows),
        inference_memory_bytes=max(row.inference_memory_bytes for row in rows),
        training_memory_bytes_per_image=sum(row.training_memory_bytes_per_image for row in rows),
        receptive_field=last.receptive_field,
    )


def _rows(graph: LayerGraph) -> list[tuple[tuple[str, BlockGraph], list[CostRow]]]:
    """Each block with its layers' rows, following the receptive field along every edge."""
    blocks = list(graph.blocks())
    image = graph.network.input_channels * graph.network.resolution**2
    memories = [layer_memory(block) for _, block in blocks]
    field, jump = 1, 1
    table = []
    for position, (name, block) in enumerate(blocks):
        live, kept, _ = memories[position]
        last = len(block.layers) - 1
        next_keeps = position + 1 < len(blocks) and memories[position + 1][2]
        itself_keeps = block_cost(block).keeps_output
        seen = {BLOCK_INPUT: (field, jump)}
        shapes = {BLOCK_INPUT: (block.in_channels, block.in_size)}
        rows = []
        for index, layer in enumerate(block.layers):
            field, jump = max(seen[source] for source in layer.inputs)
            if isinstance(layer, ConvLayer | MaxPoolLayer):
                field, jump = field + (layer.kernel - 1) * jump, jump * layer.stride
            seen[index] = field, jump
            in_channels, in_size = shapes[layer.inputs[0]]
            shapes[index] = layer.out_channels, layer.out_size
            counts = layer_cost(layer)
            output = layer.out_channels * layer.out_size**2
            kept_values = kept[index] + (output if index == last and next_keeps and not itself_keeps else 0)
            rows.append(
                CostRow(
                    f"{name}.{layer.name}", type(layer).__name__, in_channels, in_size, layer.out_channels,
                    layer.out_size, 1, counts.params, counts.macs, counts.activations,
                    BYTES_PER_VALUE * (live[index] + (image if name != "stem" else 0)),
                    BYTES_PER_VALUE * kept_values, field,
                )
            )  # fmt: skip
        table.append(((name, block), rows))
    return table
