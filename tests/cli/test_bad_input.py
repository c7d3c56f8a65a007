"""What people hand to the commands: images of every mode, and weights files that are not what they seem."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from PIL import Image

import convscale as cs
from convscale.headers import WeightsHeader
from convscale.preprocessing import default_preprocessing
from tests.cli.calling import run, run_json

NETWORK = cs.network("small-mbconv").at_resolution(16).with_classes(2)


def picture(seed: int, colours: int = 8) -> Image.Image:
    """A few colours, no two sides alike."""
    generator = np.random.default_rng(seed)
    palette = generator.integers(0, 256, (colours, 3), np.uint8)
    return Image.fromarray(palette[generator.integers(0, colours, (5, 7))]).resize((28, 20), Image.Resampling.NEAREST)


def sixteen_bit(image: Image.Image, path: Path) -> Image.Image:
    grey = image.convert("L")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(path.with_suffix(".png"))
    return grey


def cmyk(image: Image.Image, path: Path) -> Image.Image:
    image.convert("CMYK").save(path.with_suffix(".tiff"))
    return image


def palette(image: Image.Image, path: Path) -> Image.Image:
    image.quantize(16).save(path.with_suffix(".png"))
    return image.quantize(16).convert("RGB")


def alpha(image: Image.Image, path: Path) -> Image.Image:
    clear = np.asarray(image).copy()
    clear[:, :9] = 255
    mask = Image.fromarray(np.where((clear == 255).all(2), 0, 255).astype(np.uint8))
    image = image.copy()
    image.putalpha(mask)
    image.save(path.with_suffix(".png"))
    return Image.fromarray(clear)


def turned(image: Image.Image, path: Path) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    image.save(path.with_suffix(".jpg"), exif=exif, quality=95)
    image.save(path.with_suffix(".plain"), "JPEG", quality=95)
    with Image.open(path.with_suffix(".plain")) as stored:
        upright = stored.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    path.with_suffix(".plain").unlink()
    return upright


def gif(image: Image.Image, path: Path) -> Image.Image:
    image.save(path.with_suffix(".gif"), save_all=True, append_images=[picture(99)], duration=40)
    return image


def webp(image: Image.Image, path: Path) -> Image.Image:
    others = [picture(99)]
    image.save(path.with_suffix(".webp"), save_all=True, append_images=others, duration=40, lossless=True)
    return image


MODES: list[Callable[[Image.Image, Path], Image.Image]] = [sixteen_bit, cmyk, palette, alpha, turned, gif, webp]


def two_folders(folder: Path, classes: Callable[[Image.Image, str], str]) -> tuple[Path, Path]:
    """Pictures in every mode, and the same pixels as plain PNG under the same names: two of each mode and class."""
    for kind in ("odd", "plain"):
        for name in ("a", "b"):
            (folder / kind / name).mkdir(parents=True)
    for index, mode in enumerate(MODES * 4):
        name = f"{mode.__name__}-{index:02d}"
        image = mode(picture(index), folder / name)
        written = next(folder.glob(f"{name}.*"))
        place = classes(image, "ab"[index % 2])
        written.rename(folder / "odd" / place / written.name)
        image.save(folder / "plain" / place / f"{name}.png")
    return folder / "odd", folder / "plain"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as they are drawn; what they say of an image depends on its pixels all the same."""
    file = tmp_path_factory.mktemp("net") / "net.safetensors"
    torch.manual_seed(0)
    model = cs.build(NETWORK, seed=0)
    torch.nn.init.normal_(model.head.get_submodule("classifier.linear").weight)
    cs.save_weights(file, model, WeightsHeader(NETWORK, default_preprocessing(16, 3), ("a", "b")))
    return file


def test_predict_and_eval_see_through_every_mode(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd, plain = two_folders(tmp_path, lambda image, letter: letter)
    files = [sorted(folder.glob("*/*")) for folder in (odd, plain)]
    assert [file.stem for file in files[0]] == [file.stem for file in files[1]] and len(files[0]) == 28

    def seen(images: list[Path]) -> np.ndarray[Any, Any]:
        found = run_json(capsys, "predict", untrained, *images)["predictions"]
        return np.array([{row["class"]: row["probability"] for row in each["classes"]}["a"] for each in found])

    told, wanted = seen(files[0]), seen(files[1])
    assert np.abs(told - wanted).max() < 1e-6 < np.diff(np.sort(wanted)).min()
    evaluations = [
        run_json(capsys, "eval", untrained, "--data", folder, "--predictions", tmp_path / f"{folder.name}.parquet")
        for folder in (odd, plain)
    ]
    assert evaluations[0]["n"] == 28 and not evaluations[0]["unreadable"]
    counts = [(found["top1"], found["per_class"]) for found in evaluations]
    assert counts[0] == counts[1]
    rows = pq.read_table(tmp_path / "odd.parquet").to_pylist()
    assert [Path(row["image"]).stem for row in rows] == [file.stem for file in files[0]]


def test_train_sees_through_every_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The very state that plain files of the same pixels lead to."""
    records = [
        run_json(
            capsys, "train", "small-mbconv", "--resolution", 16, "--data", folder, "--recipe", "small-images",
            "--epochs", 1, "--batch", 8, "-o", tmp_path / f"run-{folder.name}",
        )
        for folder in two_folders(tmp_path, lambda image, letter: letter)
    ]  # fmt: skip
    assert records[0]["unreadable"] == 0 and not records[0]["evaluation"]["unreadable"]
    assert records[0]["state_sha256"] == records[1]["state_sha256"]


class Trap:
    """Unpickled by a careless reader, it leaves a file behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


def with_header(content: bytes, **changes: str) -> bytes:
    """A weights file with other entries in its header."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] |= changes
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def damaged(kind: str, good: Path, trap: Path) -> bytes:
    """The content of a weights file that cannot be used."""
    content = good.read_bytes()
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    match kind:
        case "truncated":
            return content[: len(content) // 2]
        case "tampered":
            network = json.loads(metadata["network"])
            network["stages"][0]["channels"] += 8
            return with_header(content, network=json.dumps(network))
        case "classes":
            return with_header(content, classes='["a", "b", "c"]')
        case "nan":
            tensors = safetensors.torch.load(content)
            name = "head.classifier.linear.bias"
            return safetensors.torch.save(tensors | {name: tensors[name] * float("nan")}, metadata)
        case "pickle":
            return pickle.dumps({"stem.conv.weight": Trap(trap)})
        case _:
            return safetensors.torch.save({"conv_stem.weight": torch.zeros(4, 3, 3, 3)})


BAD_WEIGHTS = {
    "truncated": "damaged: ", "tampered": "tensors do not fit its network", "nan": "holds NaN or infinite values",
    "pickle": "not a safetensors file, or cut short", "other": "weights without Convscale's header",
    "classes": "3 class names for a network of 2 classes",
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_weights_that_cannot_be_used(
    kind: str, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAULTS 22, 23: exit code 2, the file and what to do are named, and nothing is left behind, by every command."""
    bad, trap = tmp_path / "bad.safetensors", tmp_path / "trap"
    bad.write_bytes(damaged(kind, untrained, trap))
    data, _ = two_folders(tmp_path / "images", lambda image, letter: letter)
    made = tmp_path / "run"
    train = ("train", "small-mbconv", "--resolution", 16, "--data", data, "-o", made, "--recipe")
    for words in (
        ("predict", bad, next(data.glob("a/*"))),
        ("eval", bad, "--data", data, "--predictions", tmp_path / "p.parquet", "--pictures", tmp_path / "pictures"),
        (*train, "finetune", "--weights", bad),
        (*train, "linear-probe", "--weights", bad),
        (*train, "finetune", "--search", "2x1", "--weights", bad),
        ("fit", data, "--macs", "10M", "--weights", bad, "-o", made),
    ):
        code, out, err = run(capsys, *words)
        error = [line for line in err.splitlines() if line.startswith(("error: ", "hint: "))]
        assert code == 2 and out == "" and len(error) == 2, err
        assert f"error: {bad}: " in error[0] and BAD_WEIGHTS[kind] in error[0]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.safetensors", "images"]
