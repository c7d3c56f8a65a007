"""Quoted: what the EfficientNet paper reports on ImageNet, to stand beside what was measured here, never in it."""

from __future__ import annotations

from functools import partial

from convscale.records.latency import QuotedTime

# Tan & Le 2019, table 2: name -> (parameters, MACs, top-1). The paper calls MACs FLOPS.
EFFICIENTNET = {
    "B0": (5.3e6, 0.39e9, 0.771),
    "B1": (7.8e6, 0.70e9, 0.791),
    "B2": (9.2e6, 1.0e9, 0.801),
    "B3": (12e6, 1.8e9, 0.816),
    "B4": (19e6, 4.2e9, 0.829),
    "B5": (30e6, 9.9e9, 0.836),
    "B6": (43e6, 19e9, 0.840),
    "B7": (66e6, 37e9, 0.843),
}
RESNET = {"ResNet-50": (26e6, 4.1e9, 0.760), "ResNet-152": (60e6, 11e9, 0.778)}

QUOTED = {"EfficientNet": EFFICIENTNET, "ResNet": RESNET}

_in_table4 = partial(
    QuotedTime, source="Tan & Le 2019, table 4: batch 1 on one core of an Intel Xeon E5-2690, mean of 20"
)

# A network and the EfficientNet that is as accurate, twice. The catalog has all but GPipe's AmoebaNet-B.
TABLE4 = (
    _in_table4(network="resnet-152", seconds=0.554, top1=0.778),
    _in_table4(network="efficientnet-b1", seconds=0.098, top1=0.788),
    _in_table4(network="gpipe", seconds=19.0, top1=0.843),
    _in_table4(network="efficientnet-b7", seconds=3.1, top1=0.844),
)
