"""Weights are known by exact names; timm's, torchvision's and efficientnet_pytorch's own tables are the judges."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from convscale.dialects import Choices, Conversion, convert
from convscale.dialects.hub_weights import find_weights
from convscale.dialects.names import by_sha256, given, named, named_file
from convscale.dialects.published_weights import Published, published, rows_of
from convscale.errors import UnknownNameError
from convscale.headers import read_header
from convscale.preprocessing import Preprocessing
from tests import peers
from tests.cli.calling import run
from tests.dialects.foreign_weights import saved

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")

TIMM = [row for row in published() if row.dialect == "timm"]
TORCHVISION = [row for row in published() if row.dialect == "torchvision"]


def row_of(text: str, rows: list[Published]) -> Published:
    found = named(text, rows)
    assert found is not None and found.exact, text
    return found.row


def test_every_file_of_timms_is_known_by_its_name() -> None:
    """The names that it downloaded before the hub: _ap, _ns, miil, 21ft1k, gluon and all."""
    cfg_of, count = peers.timm().models.get_pretrained_cfg, 0
    for row in TIMM:
        cfg = cfg_of(row.name)
        file = (cfg.url or "").rpartition("/")[2]
        if not file:
            continue
        count += 1
        for text in (file, file.removesuffix(".pth"), f"{file.removesuffix('.pth')} (1).pth"):
            found = row_of(text, rows_of("timm", row.network))
            assert found is row, text
        look = found.preprocessing
        assert (look.size, look.crop, look.interpolation) == (cfg.input_size[1], cfg.crop_pct, cfg.interpolation)
        assert (look.mean, look.std, found.classes) == (tuple(cfg.mean), tuple(cfg.std), cfg.num_classes)
    assert count > 110


def test_the_names_of_models_that_timm_has_renamed() -> None:
    """tf_efficientnet_b0_ap is tf_efficientnet_b0.ap_in1k, by timm's own table of them."""
    models = peers.timm().models
    known, count = {row.name for row in TIMM} | {row.architecture for row in TIMM}, 0
    for file in Path(models.__file__).parent.glob("*.py"):
        for table in re.findall(r"register_model_deprecations\(__name__, \{(.*?)\}\)", file.read_text(), re.DOTALL):
            for old, new in re.findall(r"'([^']+)':\s*'([^']+)'", table):
                if new in known:
                    count += 1
                    wanted = new if "." in new else _default(models, new)
                    assert row_of(old, TIMM).name == wanted, old
    assert count > 40


def _default(models: Any, architecture: str) -> str:
    return f"{architecture}.{models.get_pretrained_cfg(architecture).tag}"


def test_an_architecture_alone_is_what_its_library_loads_for_it() -> None:
    models = peers.timm().models
    for architecture in {row.architecture for row in TIMM}:
        found = given(architecture, "timm")
        assert found is not None and not found.exact and found.row.name == _default(models, architecture)
        assert find_weights(architecture) is found.row
    from torchvision.models import get_model_weights

    for architecture in {row.architecture for row in TORCHVISION}:
        found = given(architecture, "torchvision")
        default = get_model_weights(architecture).DEFAULT
        assert found is not None and not found.exact and found.row.name == f"{architecture}.{default.name}"


def test_every_file_and_member_of_torchvisions_is_known() -> None:
    """V1 and V2 differ in the hash that ends the file's name alone."""
    peers.timm()
    from torchvision.models import get_model_weights

    for row in TORCHVISION:
        member = get_model_weights(row.architecture)[row.name.partition(".")[2]]
        file, look, made = member.url.rpartition("/")[2], row.preprocessing, member.transforms()
        for text in (file, str(member), str(member).replace(".", "_"), row.name, f"torchvision/{row.name}"):
            assert row_of(text, rows_of("torchvision", row.network)) is row, text
        assert (look.size, look.resize, look.interpolation) == (
            made.crop_size[0], made.resize_size[0], made.interpolation.value,
        )  # fmt: skip
        assert look.mean == tuple(made.mean) and look.std == tuple(made.std)


def test_every_file_of_efficientnet_pytorchs_is_known() -> None:
    """AdvProp's, adv-efficientnet-b0, are used with mean and std 0.5."""
    utils = pytest.importorskip("efficientnet_pytorch.utils")
    for urls, statistic in ((utils.url_map, 0.485), (utils.url_map_advprop, 0.5)):
        for network, url in urls.items():
            row = row_of(url.rpartition("/")[2], rows_of("lukemelas", network))
            assert row.preprocessing.mean[0] == statistic and row.hash in url


@pytest.mark.parametrize(
    "text",
    [
        "tf_efficientnet_b0.ap_in1k", "tf_efficientnet_b0_ap_in1k.pth", "timm/tf_efficientnet_b0.ap_in1k",
        "hf-hub:timm/tf_efficientnet_b0.ap_in1k", "models--timm--tf_efficientnet_b0.ap_in1k",
        "TF-EfficientNet-B0.AP_in1k.safetensors", "backup-f262efe1.pth", "tf_efficientnet_b0_ap-f262efe1 (2).pth",
    ],
)  # fmt: skip
def test_spellings_of_one_name(text: str) -> None:
    assert row_of(text, rows_of("timm", "efficientnet-b0")).name == "tf_efficientnet_b0.ap_in1k"


def test_what_only_begins_with_a_name_says_what_else_there_is() -> None:
    rows = rows_of("timm", "efficientnet-b0")
    for text, name, rest in (
        ("tf_efficientnet_b0_best.pth", "tf_efficientnet_b0.ns_jft_in1k", "best"),
        ("tf_efficientnet_b0_ap-epoch-3.pth", "tf_efficientnet_b0.ap_in1k", "epoch_3"),
        ("efficientnet_b0-nonsense", "efficientnet_b0.ra_in1k", "nonsense"),
    ):
        found = named_file(text, rows)
        assert found is not None and (found.row.name, found.exact, found.rest) == (name, False, rest)
        assert given(text) is None
    assert named("efficientnet_b01", rows) is None and named("net.pth", rows) is None


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_b0.zz_in1k", "efficientnet_b0.ra_in21k", "tf_efficientnet_b0.ap_in1k_v9"]
)
def test_a_file_that_claims_unknown_weights_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown weights '.*did you mean"):
        named_file(f"{name}.safetensors", rows_of("timm", "efficientnet-b0"))


def test_a_published_file_is_known_by_its_content() -> None:
    row = row_of("tf_efficientnet_b0_ap", TIMM)
    assert row.hash == "f262efe1" and by_sha256("f262efe1" + "0" * 56, TIMM) is row
    assert by_sha256("0" * 64, TIMM) is None and by_sha256("", TIMM) is None


# Converted


@pytest.fixture(scope="module")
def b0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(peers.timm().create_model("efficientnet_b0", num_classes=2), tmp_path_factory.mktemp("b0") / "net.pth")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(peers.timm().create_model("resnet18", num_classes=2), tmp_path_factory.mktemp("r") / "mine.pth")


def converted(source: Path, tmp_path: Path, **choices: Any) -> tuple[Conversion, Preprocessing]:
    done = convert(source, tmp_path / "ours.safetensors", choices=Choices(**choices))
    return done, read_header(tmp_path / "ours.safetensors").preprocessing


def test_advprop_by_an_old_file_name(b0: Path, tmp_path: Path) -> None:
    (tmp_path / "tf_efficientnet_b0_ap-f262efe1.pth").symlink_to(b0)
    done, look = converted(tmp_path / "tf_efficientnet_b0_ap-f262efe1.pth", tmp_path)
    assert (look.mean, look.std) == ((0.5,) * 3, (0.5,) * 3)
    assert read_header(tmp_path / "ours.safetensors").network.padding == "same"
    assert set(done.taken_from.values()) == {"tf_efficientnet_b0.ap_in1k, by the file's name", "numbered"}
    assert any("its content differs" in note for note in done.notes)


def test_by_the_name_of_a_folder_or_a_repository(b0: Path, tmp_path: Path) -> None:
    name = "tf_efficientnet_b0.ap_in1k"
    for folder in (name, f"models--timm--{name}/snapshots/0a1b2c"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model.pth").symlink_to(b0)
        assert converted(tmp_path / folder / "model.pth", tmp_path)[1].mean == (0.5,) * 3


def test_an_architecture_or_more_is_reported(b0: Path, tmp_path: Path) -> None:
    for name, told in (
        ("tf_efficientnet_b0.pth", "names only an architecture: read as timm's default for it, .*ns_jft_in1k"),
        ("tf_efficientnet_b0_run7.pth", "begins like a name of .*ns_jft_in1k, but 'run7' is no known tag"),
        ("net.pth", "read as efficientnet_b0.ra_in1k, the default of timm's efficientnet_b0"),
    ):
        (tmp_path / name).symlink_to(b0)
        done, _ = converted(tmp_path / name, tmp_path)
        assert re.search(told, done.notes[0]) and any(" used differently" in note for note in done.notes)
    done, _ = converted(b0, tmp_path, network="tf_efficientnet_b0")
    assert done.notes[0].startswith("--network names only an architecture")


@pytest.mark.parametrize("name", ["tf_efficientnet_b0.zz_in1k", "efficientnet_b0-nonsense", "efficientnet_b00", "x/y"])
def test_an_unknown_network_exits_with_2(
    b0: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, _, error = run(capsys, "convert", str(b0), "-o", str(tmp_path / "o.safetensors"), "--network", name)
    assert code == 2 and name in error and not (tmp_path / "o.safetensors").exists()
    assert "/" in name or "did you mean 'efficientnet_b0" in error or "did you mean 'tf_efficientnet_b0" in error
    (tmp_path / "tf_efficientnet_b0.zz_in1k.pth").symlink_to(b0)
    code, _, error = run(capsys, "convert", str(tmp_path / "tf_efficientnet_b0.zz_in1k.pth"), "-o", str(tmp_path / "o"))
    assert code == 2 and "unknown weights" in error


@pytest.mark.parametrize(
    ("file", "network", "dialect", "size", "crop"),
    [
        ("mine.pth", "resnet18.a3_in1k", "timm", 160, 0.95),
        ("resnet18_a3_0-40c531c8.pth", None, "timm", 160, 0.95),
        ("resnet18.a1_in1k.pth", None, "timm", 224, 0.95),
        ("mine.pth", "resnet18.IMAGENET1K_V1", "torchvision", 224, 0.875),
        ("resnet18-f37072fd.pth", None, "torchvision", 224, 0.875),
        ("mine.pth", "resnet-18", "torchvision", 224, 0.875),
    ],
)
def test_a_resnet_is_whose_name_is_given(
    resnet: Path, tmp_path: Path, file: str, network: str | None, dialect: str, size: int, crop: float
) -> None:
    """timm and torchvision name its tensors alike."""
    (tmp_path / file).symlink_to(resnet)
    done, look = converted(tmp_path / file, tmp_path, network=network)
    assert (done.dialect, look.size, look.crop) == (dialect, size, crop)
    assert look.resize_rounding == ("down" if dialect == "timm" else "nearest")


def test_timm_rounds_the_resized_side_down() -> None:
    """As int(math.floor(size / crop_pct)) does."""
    look = row_of("tf_efficientnet_b3.in1k", TIMM).preprocessing
    assert (look.crop, look.resize) == (0.904, 331) and "crop 0.904 of 331 px" in look.in_words()
    assert Preprocessing(300, crop=0.904).resize == 332
