"""What files say that machines keep: weights, run folders, trials, settings of studies.

Since format version 2 they name every value, whatever its default is. Version 1 left out fields that held their
default, so what was the default then is written down here, and `read_kept` takes it for whatever a file does not name:
a default that changes later changes no file that exists. A field that gets a default, or comes with one, is added here
with what files from before it mean.

Files that people write (networks, recipes and studies as TOML) take the defaults of the day.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from convscale.errors import RunError
from convscale.schema import Defaults, from_table
from convscale.version import __version__

T = TypeVar("T")

FORMAT_VERSION = 2

# Class -> field -> what it is where a file does not name it.
UNNAMED: Defaults = {
    "ConvNet": {
        "num_classes": 1000,
        "input_channels": 3,
        "padding": "same",
        "norm_eps": 0.001,
        "rules": {},
        "origin": None,
    },
    "Stem": {"kernel": 3, "stride": 2, "activation": "silu", "pool": False, "fixed_width": False},
    "Stage": {"fixed_depth": False, "fixed_width": False},
    "MBConv": {"activation": "silu", "squeeze": None, "skip": True},
    "Squeeze": {"of": "input", "activation": "silu", "gate": "sigmoid", "round_to": 1},
    "FusedMBConv": {"activation": "silu", "squeeze": None, "skip": True},
    "Separable": {"activation": "relu"},
    "Basic": {"kernel": 3, "activation": "relu", "squeeze": None},
    "Bottleneck": {"kernel": 3, "ratio": 0.25, "groups": {"type": "count"}, "activation": "relu", "squeeze": None},
    "Count": {"groups": 1},
    "Conv": {"kernel": 3, "activation": "relu"},
    "ConvPool": {"activation": "silu", "fixed_width": False, "shrinks": True},
    "ConvPoolHidden": {"activation": "hard_swish", "fixed_width": False, "fixed_hidden": False},
    "ScalingRules": {"divisor": 8, "floor": 0.9, "repeats": "ceil", "resolution_step": 1},
    "Recipe": {
        "warmup_epochs": 0,
        "weight_decay": 0,
        "label_smoothing": 0,
        "class_weights": "none",
        "sampling": "shuffled",
        "gradient_clip": 0,
        "accumulation": 1,
        "ema_decay": 0,
        "dropout": 0,
        "dropout_phi7": None,
        "drop_path": 0,
        "norm_momentum": 0.1,
        "norm_momentum_per_epoch": None,
        "norm_statistics": "batch",
        "trainable": "all",
        "head_epochs": 0,
        "layer_decay": 1,
        "steps": None,
        "patience": 0,
        "validation_share": 0.1,
        "precision": "auto",
        "max_unreadable": 0.05,
        "on_nonfinite": "stop",
        "optimizer": {"type": "sgd"},
        "schedule": {"type": "cosine"},
        "augmentation": {},
        "search": {},
        "networks": {},
    },
    "SGD": {"momentum": 0.9, "nesterov": True},
    "RMSProp": {"decay": 0.9, "momentum": 0.9, "eps": 0.001},
    "AdamW": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-08},
    "LBFGS": {"max_iterations": 500},
    "Cosine": {"final": 0},
    "Staircase": {"factor_per_step": 0.97, "every_epochs": 2.4},
    "Steps": {"at": [0.3, 0.6, 0.9], "factor_per_step": 0.1},
    "Augmentation": {
        "crop": "none",
        "shift": 0.125,
        "scale_min": 0.35,
        "flip": False,
        "policy": "none",
        "randaugment_layers": 2,
        "randaugment_magnitude": 10,
        "erasing": 0,
        "mixup": 0,
        "cutmix": 0,
    },
    "SearchGrid": {
        "learning_rates": [],
        "weight_decays": [],
        "decay_over_rate": False,
        "share": 0.2,
        "epochs_share": 1,
        "further_rates": 0,
    },
    "NetworkValues": {"dropout": None},
    "Preprocessing": {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "crop": 1,
        "interpolation": "bicubic",
        "value_range": [0, 1],
        "stored_range": None,
        "resize_rounding": "nearest",
    },
    "Decision": {"why": ""},
    "Story": {"command": "", "started": "", "decisions": [], "notes": []},
    "ProgressRecord": {"seconds_left": None, "images_per_second": None, "reason": ""},
    "RunRow": {
        "data": None,
        "network": None,
        "budget": None,
        "macs": None,
        "params": None,
        "top1": None,
        "interval95": None,
        "started": None,
        "seconds": None,
        "reason": "",
    },
    "Settings": {
        "seed": 0,
        "workers": 0,
        "checkpoint_seconds": 300,
        "compile": False,
        "step_times": False,
        "tensorboard": False,
        "pictures": True,
        "evaluate_each_epoch": True,
        "evaluation_precision": "fp32",
        "fresh_statistics_steps": 0,
        "weights": None,
        "weights_sha256": "",
        "exclude": None,
        "changed": [],
        "stored_range": None,
        "continues": None,
        "epochs_before": 0,
    },
    "FitRecord": {"continues": None, "epochs_before": 0},
    "Provenance": {"licence": "", "notes": []},
    "DataChoice": {
        "label_column": "label",
        "seed": 0,
        "train_images": None,
        "test_images": None,
        "layout": None,
        "stored_range": None,
        "tuning": False,
    },
    "Trial": {"images": ""},
    "TrialRecord": {"result": None, "failure": "", "taken_from": ""},
    "TrialResult": {"images": 0, "device": "", "precision": "", "learning_rate": None},
    "StudySpec": {
        "question": "",
        "resolution": None,
        "methods": [],
        "costs": [],
        "curves": [],
        "seeds": 3,
        "recipe": "small-images",
        "settings": [],
        "quoted": False,
        "data": None,
        "equal": "macs",
        "tune_rate": False,
        "allow_missing": False,
        "primary": "",
        "equivalence": 0.005,
    },
    "StudyRow": {
        "learned": True,
        "settled": None,
        "seconds_per_image": None,
        "device": "",
        "precision": "",
        "learning_rate": None,
    },
    "PairedDifference": {"adjusted_interval95": None},
    "StudyResult": {"claims": [], "primary": [], "noise": [], "chance": None, "comparisons": 0, "rates": []},
    "Method": {"law": "", "coefficients": "", "shares": [], "name": ""},
    "SearchSettings": {
        "cost": 2,
        "method": "shares",
        "seeds": 3,
        "final_seeds": 5,
        "share_step": 1 / 6,
        "cost_tolerance": 0.02,
        "step": 0.05,
        "tolerance": 0.1,
        "reduction": 3,
        "keep": 3,
        "probe": 5,
        "trust": 0.7,
        "budget": 0.25,
        "seed": 0,
    },
    "TrainingSearch": {"options": {}},
    "Plan": {"evidence": ""},
    "Family": {"evidence": ""},
    "TrainedFamily": {"evidence": ""},
    "CoefficientSearch": {"noise": {}, "drift": None, "note": "", "training": None},
    "Evaluation": {
        "unreadable": [],
        "mean_per_class": None,
        "ece": None,
        "images_per_second": None,
        "top5_interval95": None,
        "mean_per_class_interval95": None,
        "confused": None,
    },
    "Prediction": {"error": None},
    "DataRecord": {
        "fingerprint": "",
        "published": None,
        "metric": "top1",
        "layout": None,
        "validation_images": 0,
    },
    "ExportRecord": {"not_compared": "", "int8": None},
    "EpochRecord": {"mean_per_class": None},
    "TrainRecord": {"validation_top1": None, "test_top1": None},
    "SearchRow": {"failure": ""},
    "BenchRow": {"chosen": None},
    "Budget": dict.fromkeys(
        (
            "macs",
            "params",
            "activations",
            "file_bytes",
            "inference_memory_bytes",
            "training_memory_bytes_fixed",
            "training_memory_bytes_per_image",
            "latency_seconds",
        )
    ),
    "Proposal": {"latency_seconds": None},
    "Scaling": {"depth": 1, "width": 1, "resolution": 1},
}


def read_kept(kind: type[T], table: Any, source: str = "") -> T:
    """Build the dataclass `kind` from a table that a machine kept, of any format version. Raises as `from_table`."""
    return from_table(kind, table, source, defaults=UNNAMED)


def require_version(path: Path, found: str | int) -> None:
    """Raise RunError unless a file of this format version can be read."""
    version = int(found) if str(found).isdecimal() and len(str(found)) < 10 else 0
    if version > FORMAT_VERSION:
        raise RunError(
            f"{path}: format version {version} is newer than this convscale {__version__} knows ({FORMAT_VERSION})",
            hint="pip install --upgrade convscale",
        )
    if version < 1:
        raise RunError(f"{path}: format version {found!r} is not one of Convscale's")
