"""Your own baseline as a table, scaled by your own law."""

import convscale as cs
from convscale.networks import ConvNet, ConvPool, MBConv, Row, Squeeze, Stage, Stem

mine = ConvNet(
    "mine",
    resolution=64,
    stem=Stem(16),
    stages=(
        Stage(24, 2, (Row(MBConv(3, 4), repeats=2),)),
        Stage(48, 2, (Row(MBConv(5, 4, squeeze=Squeeze(0.25)), repeats=3),)),
    ),
    head=ConvPool(256),
    num_classes=10,
)
law = cs.shares_law(depth=2, width=1, resolution=1, name="deep")
for phi in (-1, 0, 1, 2):
    scaled = cs.scale(mine, law(phi))
    print(f"phi {phi}: {cs.cost(scaled).macs / cs.cost(mine).macs:.2f}x the MACs, wanted {2**phi}x")
plan = cs.plan(mine, cs.Budget(macs=2 * cs.cost(mine).macs), law)
print(f"planned: {plan.chosen.used['macs']:.1%} of twice the MACs, {plan.chosen.off_law:.1%} off the law")
cs.write_network(plan.network, "mine-2x.toml")
