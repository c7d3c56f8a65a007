"""Which baseline spends a phone's budget best? Plans three, without weights and without PyTorch."""

import convscale as cs

budget = cs.Budget(macs="400M", params="6M", inference_memory_bytes="40MB")
for name in ("efficientnet-b0", "mobilenet-v2", "mobilenet-v3-large"):
    plan = cs.plan(cs.network(name).with_classes(100), budget)
    used = ", ".join(f"{key} {share:.1%}" for key, share in plan.chosen.used.items())
    print(f"{name}: {plan.network.resolution} px, {used}; binding: {', '.join(plan.binding)}")
