"""The weights file in a folder: of timm, of transformers, or of anyone who keeps exactly one there."""

from __future__ import annotations

from pathlib import Path

from convscale.dialects.reading import KERAS_SUFFIXES, TORCH_SUFFIXES, require_whole
from convscale.errors import RunError

# What timm and transformers call it, the first that is there.
_NAMES = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
_SUFFIXES = (".safetensors", *KERAS_SUFFIXES, *TORCH_SUFFIXES)
# Beside the weights in folders of transformers' Trainer: the optimizer's, the generators' and the schedule's state.
_OTHERS = ("optimizer", "scheduler", "rng_state", "scaler", "training_args")


def weights_in(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The weights file of a folder, or the prefix of its TensorFlow checkpoint, and a note on others that are there.

    Raises RunError for a folder that holds none, or several of which none has a usual name.
    """
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in _SUFFIXES)
    found = [path for path in found if not path.name.startswith((*_OTHERS, "."))]  # macOS leaves ._model.safetensors
    found += [path.with_suffix("") for path in sorted(folder.glob("[!.]*.index"))]
    usual = [path for name in _NAMES for path in found if path.name == name]
    chosen = usual[0] if usual else found[0] if len(found) == 1 else None
    if chosen is None:
        if all("-of-" in path.name for path in found):
            for path in found:
                require_whole(path)
        if found:
            names = ", ".join(path.name for path in found[:5]) + ", ..." * (len(found) > 5)
            message, hint = f"{len(found)} weights files: {names}", "name one of them"
        else:
            message, hint = "no weights file", f"one of {', '.join(_NAMES[:3])}, or one file of any name"
        raise RunError(f"{folder}: {message}", hint=hint)
    others = [path.name for path in found if path != chosen]
    note = f"{chosen.name} used, out of {len(found)} weights files; the others: {', '.join(others[:5])}"
    return chosen, (note,) if others else ()
