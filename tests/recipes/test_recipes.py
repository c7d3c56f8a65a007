"""Recipes against numbers worked out by hand: optimizers, schedules, the average, drop rates, what follows what."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import convscale as cs
from convscale.errors import ConfigError, UnknownNameError
from convscale.nn.layers import Add, Linear
from convscale.recipes import (
    SGD,
    AdamW,
    Augmentation,
    Constant,
    Cosine,
    Recipe,
    RMSProp,
    Staircase,
    Steps,
    list_recipes,
    recipe,
)
from convscale.schema import from_table, to_table
from convscale.training.ema import EMA, ema_decay
from convscale.training.optimizer import learning_rate, make_optimizer
from convscale.training.rmsprop import TensorFlowRMSProp
from convscale.training.step import training_loss

QUICK = Recipe(note="a test", epochs=10, batch=32, learning_rate=0.1)


def test_rmsprop_is_tensorflow_s_over_100_steps() -> None:
    """Against the update written out with numpy in double precision; rate and gradients change every step."""
    chance = np.random.default_rng(0)
    start = chance.normal(size=(7, 5))
    weight = nn.Parameter(torch.tensor(start))
    optimizer = TensorFlowRMSProp(
        [{"params": [weight], "weight_decay": 1e-2}], lr=0.0, decay=0.9, momentum=0.8, eps=1e-3
    )
    value, mean_square, momentum = start.copy(), np.ones_like(start), np.zeros_like(start)
    for step in range(100):
        rate = 0.256 * 0.97 ** (step // 7)
        gradient = chance.normal(size=start.shape) * 10.0 ** chance.integers(-4, 2)
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        total = gradient + 1e-2 * value
        mean_square += (total**2 - mean_square) * 0.1
        momentum = 0.8 * momentum + rate * total / np.sqrt(mean_square + 1e-3)
        value -= momentum
    assert np.abs(weight.detach().numpy() - value).max() < 1e-6
    first = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = TensorFlowRMSProp([{"params": [first]}], lr=0.1, decay=0.9, momentum=0.9, eps=1e-3)
    first.grad = torch.ones(1, dtype=torch.float64)
    optimizer.step()  # mean square 0.9 * 1 + 0.1 * 1
    assert first.item() == pytest.approx(1 - 0.1 / math.sqrt(1.001), abs=1e-12)


def test_rmsprop_is_timm_s() -> None:
    from tests.peers import timm

    timm()
    from timm.optim.rmsprop_tf import RMSpropTF as theirs_class

    chance = torch.Generator().manual_seed(1)
    start = torch.randn(50, generator=chance)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one = TensorFlowRMSProp([{"params": [ours], "weight_decay": 1e-5}], 0.02, 0.9, 0.9, 1e-3)
    other = theirs_class([theirs], lr=0.02, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=1e-5)
    for _ in range(100):
        gradient = torch.randn(50, generator=chance)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        one.step()
        other.step()
    assert (ours - theirs).abs().max() < 1e-6


def test_optimizers_follow_the_recipe() -> None:
    model = cs.build(cs.network("small-mbconv"))
    sgd = make_optimizer(model, QUICK)
    assert isinstance(sgd, torch.optim.SGD) and sgd.defaults["nesterov"] and sgd.defaults["momentum"] == 0.9
    plain = make_optimizer(model, replace(QUICK, optimizer=SGD(momentum=0.0)))
    assert not plain.defaults["nesterov"]
    adam = make_optimizer(model, replace(QUICK, optimizer=AdamW(beta2=0.99, eps=1e-6)))
    assert adam.defaults["betas"] == (0.9, 0.99) and adam.defaults["eps"] == 1e-6
    rms = make_optimizer(model, replace(QUICK, optimizer=RMSProp(decay=0.8)))
    assert rms.defaults["decay"] == 0.8 and rms.defaults["eps"] == 1e-3


def test_weight_decay_spares_batch_norm_alone() -> None:
    """main.py:420 of the reference: biases of squeezes and of the classifier decay too."""
    model = cs.build(cs.network("efficientnet-b0"))
    decayed, spared = make_optimizer(model, replace(QUICK, weight_decay=0.1)).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    spared_names = {names[id(p)] for p in spared["params"]}
    assert all(".norm." in name for name in spared_names) and len(spared_names) == 2 * 49
    decayed_names = {names[id(p)] for p in decayed["params"]}
    assert "head.classifier.linear.bias" in decayed_names
    assert sum(name.endswith(".conv.bias") for name in decayed_names) == 2 * 16  # the squeezes of 16 blocks
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


def test_the_paper_s_schedule() -> None:
    """0.256, times 0.97 every 2.4 epochs from step 0, 5 epochs of warm-up from 0."""
    paper = recipe("efficientnet")
    assert [learning_rate(paper, epoch) for epoch in (0, 2)] == pytest.approx([0, 0.256 * 2 / 5])
    assert learning_rate(paper, 4.999) == pytest.approx(0.256, rel=1e-3)
    assert learning_rate(paper, 5) == pytest.approx(0.256 * 0.97**2)  # not 0.256: two steps are behind
    assert learning_rate(paper, 7.2 - 1e-6) == pytest.approx(0.256 * 0.97**2)
    assert learning_rate(paper, 7.2) == pytest.approx(0.256 * 0.97**3)
    assert learning_rate(paper, 12) == pytest.approx(0.256 * 0.97**5)
    assert learning_rate(paper, 350) == pytest.approx(0.256 * 0.97**145)


def test_other_schedules() -> None:
    course = replace(QUICK, learning_rate=1.0, warmup_epochs=2)
    assert [learning_rate(course, e) for e in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    floor = replace(course, schedule=Cosine(final=0.1))
    assert [learning_rate(floor, e) for e in (2, 6, 10)] == pytest.approx([1, 0.55, 0.1])
    steps = replace(course, schedule=Steps(at=(0.3, 0.6), factor_per_step=0.1))
    assert [learning_rate(steps, e) for e in (2, 2.9, 3, 5.9, 6, 10)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert learning_rate(replace(course, schedule=Constant()), 9) == 1


def test_the_average_s_ramp() -> None:
    """utils.py of the reference: min(0.9999, (1 + n) / (10 + n)) with n the steps done."""
    assert [ema_decay(n, 0.9999) for n in (1, 10, 90)] == pytest.approx([2 / 11, 11 / 20, 91 / 100])
    assert ema_decay(89_980, 0.9999) == pytest.approx(89_981 / 89_990)
    assert ema_decay(89_990, 0.9999) == 0.9999 == ema_decay(10**7, 0.9999)


def test_the_average_holds_weights_and_statistics() -> None:
    model = cs.build(cs.network("small-resnet"), seed=0)
    ema = EMA(model, 0.9)
    expected = {name: value.double().clone() for name, value in model.state_dict().items()}
    for update in range(1, 30):
        with torch.no_grad():
            for tensor in [*model.parameters(), *model.buffers()]:
                if tensor.is_floating_point():
                    tensor.add_(torch.rand_like(tensor))
        decay = min(0.9, (1 + update) / (10 + update))
        for name, value in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
        ema.update(update)
    for name, value in ema.model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert not ema.model.training and not any(p.requires_grad for p in ema.model.parameters())


@pytest.mark.parametrize(
    ("name", "blocks", "last"), [("efficientnet-b0", 16, 0.1875), ("efficientnet-b7", 55, 0.2 * 54 / 55)]
)
def test_the_drop_rate_of_every_block(name: str, blocks: int, last: float) -> None:
    """efficientnet_model.py:656: 1 - survival rises with the index over all blocks; only skips can drop."""
    paper = recipe("efficientnet").for_network(cs.network(name))
    with torch.device("meta"):
        model = cs.build(cs.network(name), paper.dropout, paper.drop_path)
    rates = [
        next((module.drop_path for module in block.modules() if isinstance(module, Add)), None)
        for stage in model.stages
        for block in stage.children()
    ]
    assert len(rates) == blocks
    for index, rate in enumerate(rates):
        assert rate is None or rate == pytest.approx(0.2 * index / blocks)
    if name == "efficientnet-b0":
        assert [index for index, rate in enumerate(rates) if rate is not None] == [2, 4, 6, 7, 9, 10, 12, 13, 14]
    assert rates[-1] in (None, pytest.approx(last))
    dropouts = [module.dropout for module in model.modules() if isinstance(module, Linear)]
    assert dropouts == [0.2 if name == "efficientnet-b0" else 0.5]


def test_dropout_by_network() -> None:
    paper = recipe("efficientnet")

    def dropout(network: cs.ConvNet) -> float:
        return paper.for_network(network).dropout

    released = [dropout(cs.network(f"efficientnet-b{index}").with_classes(10)) for index in range(8)]
    assert released == [0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5]
    b0 = cs.network("efficientnet-b0")
    assert dropout(replace(b0, name="mine")) == 0.2  # the table goes by what a network is, not by its name
    between = cs.scale(b0, cs.compound(phi=3.5))
    phi = math.log2(cs.cost(between).macs / cs.cost(b0).macs)
    assert dropout(between) == pytest.approx(0.2 + 0.3 * phi / 7, abs=1e-4) and 0.33 < dropout(between) < 0.37
    assert dropout(cs.network("small-mbconv")) == 0.2
    assert paper.for_network(b0).networks == {} and recipe("photos").for_network(between) == recipe("photos")


def test_label_smoothing_and_soft_targets() -> None:
    logits, labels = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    hard = nn.functional.one_hot(labels, 4).double()
    wanted = -(hard * 0.9 + 0.1 / 4) * logits.log_softmax(1)
    assert training_loss(logits, labels, 0.1).item() == pytest.approx(wanted.sum(1).mean().item(), rel=1e-6)
    assert training_loss(logits, hard.float(), 0.1).item() == pytest.approx(wanted.sum(1).mean().item(), rel=1e-6)


def test_what_follows_a_changed_batch_and_changed_epochs() -> None:
    paper = recipe("efficientnet")
    changed = paper.with_changes(epochs=35, batch=256)
    assert changed.learning_rate == pytest.approx(0.016) and changed.warmup_epochs == pytest.approx(0.5)
    assert isinstance(changed.schedule, Staircase) and changed.schedule.every_epochs == pytest.approx(0.24)
    assert learning_rate(changed, 35) / changed.learning_rate == pytest.approx(learning_rate(paper, 350) / 0.256)
    assert changed.changes_from(paper) == [
        "epochs 350 -> 35", "batch 4096 -> 256", "learning_rate 0.256 -> 0.016", "warmup_epochs 5.0 -> 0.5",
        "schedule.every_epochs 2.4 -> 0.24",
    ]  # fmt: skip
    assert paper.with_changes(epochs=None, batch=None) == paper
    assert paper.with_changes(batch=8, learning_rate=1.0).learning_rate == 1.0
    assert replace(QUICK, accumulation=8).with_changes(batch=4).accumulation == 2
    short = cs.recipe("small-images").with_changes(epochs=1)
    assert "warmup_epochs 1.0 -> 0.03333" in short.changes_from(cs.recipe("small-images"))


def test_settings() -> None:
    base = recipe("photos")
    changed = base.with_settings(
        ["learning_rate=1e-3", "optimizer.type=rmsprop", "optimizer.eps = 0.01", "augmentation.policy=autoaugment",
         'note="mine"', "augmentation.flip=false", "ema_decay=0.999"]
    )  # fmt: skip
    assert changed.learning_rate == 0.001 and changed.optimizer == RMSProp(eps=0.01) and changed.note == "mine"
    assert changed.augmentation == replace(base.augmentation, policy="autoaugment", flip=False)
    assert base.with_settings(["optimizer.momentum=0.5"]).optimizer == SGD(momentum=0.5)
    assert base.with_settings(["schedule.type=steps", "schedule.at=[0.5, 0.75]"]).schedule == Steps(at=(0.5, 0.75))
    assert base.with_settings([]) == base
    for setting, message in [
        ("lerning_rate=1", "lerning_rate: unknown key.*'learning_rate'"), ("learning_rate", "not KEY=VALUE"),
        ("=1", "not KEY=VALUE"), ("learning_rate=fast", "learning_rate: expected a number"),
        ("epochs.more=1", "epochs has no parts"), ("optimizer.type=adam", "optimizer.type: unknown 'adam'.*adamw"),
        ("augmentation.flp=1", "augmentation.flp: unknown key.*'flip'"), ("nothing.at=1", "nothing: unknown key"),
        ("batch=1", "batch 1 is not allowed"), ("learning_rate=nan", "finite"), ("accumulation=99", "accumulation 99"),
        ("optimizer.eps=1\nepochs=3", "eps"),
    ]:  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            base.with_settings([setting] if "eps" not in setting else ["optimizer.type=rmsprop", setting])


@pytest.mark.parametrize("name", list_recipes())
def test_recipes_that_come_along(name: str) -> None:
    found = recipe(name)
    for word in ("command", "hardware", "time", "expected"):
        assert f"\n{word} " in found.note, f"{name}: the note says nothing of {word}"
    assert from_table(Recipe, to_table(found)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 0", "epochs 0 is not allowed"),
        ("batch = 2.5", "batch: expected a whole number"),
        ("learning_rate = nan", "learning_rate: nan"),
        ("optimizer = {type = 'sgd', momentum = 1.0}", "optimizer: momentum 1.0"),
        ("optimizer = {momentum = 0.9}", "optimizer: needs a key 'type'"),
        ("optimizer = {type = 'rmsprop', eps = 0}", "optimizer: eps 0.0 is not allowed.*above 0"),
        ("dropuot = 0.1", "dropuot: unknown key.*'dropout'"),
        ("warmup_epochs = 99", "warmup_epochs 99"),
        ("augmentation = {crop = 'resised'}", "augmentation.crop: 'resised'.*did you mean 'resized'"),
        ("augmentation = {shift = 0.9}", "augmentation: shift 0.9"),
        ("augmentation = {policy = 'auto'}", "augmentation.policy: 'auto'"),
        ("schedule = {type = 'staircase', every_epochs = 0}", "schedule: every_epochs 0"),
        ("schedule = {type = 'steps', at = [2]}", "schedule: at 2"),
        ("learning_rate = '1e-3'", "learning_rate: expected a number"),
        ("ema_decay = 1.0", "ema_decay 1.0"),
        ("on_nonfinite = 'ignore'", "on_nonfinite: 'ignore'"),
        ("networks = {b0 = {dropot = 1}}", "networks.b0.dropot: unknown key"),
    ],
)
def test_malformed_recipes(tmp_path: Path, text: str, message: str) -> None:
    base = {"note": '"x"', "epochs": "10", "batch": "8", "learning_rate": "0.1"}
    key, value = text.split(" = ", 1)
    path = tmp_path / "r.toml"
    path.write_text("\n".join(f"{k} = {v}" for k, v in (base | {key: value}).items()))
    with pytest.raises(ConfigError, match=message):
        recipe(path)
    with pytest.raises(UnknownNameError, match="did you mean 'photos'"):
        recipe("fotos")


def test_augmentation_out_of_range() -> None:
    for changes in ({"randaugment_layers": 0}, {"randaugment_magnitude": 31}, {"erasing": 1.1}, {"mixup": -1}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            Augmentation(**changes)  # type: ignore[arg-type]


MALFORMED = """
epochs = 0|epochs = -1|epochs = 1.5|epochs = "ten"|epochs = true|epochs = 2000000|epochs = [1]|epocs = 3
batch = 1|batch = 0|batch = 1e3|batch = "auto"|batch = 99999999|bacth = 3
learning_rate = nan|learning_rate = inf|learning_rate = -0.1|learning_rate = "1e-3"|learning_rate = 1001|lr = 0.1
warmup_epochs = -1|warmup_epochs = 11|weight_decay = -1|weight_decay = 11|label_smoothing = 1|label_smoothing = -0.1
gradient_clip = -1|gradient_clip = nan|accumulation = 0|accumulation = 9|ema_decay = 1|ema_decay = 2|dropout = 1.0
dropout_phi7 = 1|drop_path = -0.5|norm_momentum = 2|trainable = "some"|precision = "fp8"|max_unreadable = 2
on_nonfinite = "pray"|optimizer = "sgd"|optimizer = {type = "sdg"}|optimizer = {type = "sgd", nesterov = 1}
optimizer = {type = "adamw", beta1 = 1}|schedule = {type = "cosine", final = 2}|schedule = {type = "stairs"}
augmentation = {flip = "yes"}|augmentation = 3|augmentation = {mixup = -1}|note = 5|note =|epochs = 3 4|[epochs
batch = 16
batch = 32|x = {{{|networks = {b0 = 1}|networks = 4
"""


def test_fifty_malformed_recipes_end_with_advice_and_without_pytorch(tmp_path: Path) -> None:
    """FAULTS 26, with a deep one, a large one and a binary one."""
    base = {"note": '"x"', "epochs": "10", "batch": "16", "learning_rate": "0.1"}
    contents = []
    for case in (
        MALFORMED.strip().replace("\nbatch = 32", "\x00").replace("\n", "|").replace("\x00", "\nbatch = 32").split("|")
    ):
        kept = {key: value for key, value in base.items() if not case.startswith(f"{key} =")}
        contents.append("\n".join(f"{key} = {value}" for key, value in kept.items()) + f"\n{case}\n")
    contents += ["x = " + "[" * 5000, "# " + "x" * 5_000_000]
    assert len(contents) >= 50
    for index, content in enumerate(contents):
        (tmp_path / f"{index}.toml").write_text(content)
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    code = """
import contextlib, io, pathlib, sys
from convscale.cli.main import run
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.toml")):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = run(["train", "small-resnet", "--data", "digits", "--recipe", str(path), "-o", "run"])
    text = said.getvalue()
    assert code == 2 and text.startswith("error: ") and "Traceback" not in text, (path.read_text()[:200], code, text)
    assert len(text) < 2000 and text.count("\\n") <= 2, (path, text[:300])
assert "torch" not in sys.modules
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert not (tmp_path / "run").exists()
