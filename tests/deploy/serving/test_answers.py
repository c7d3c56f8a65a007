"""What a real server answers: the same as `predict`, and clear refusals."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

import convscale as cs
from convscale.deploy.serving.limits import Limits
from convscale.deploy.serving.predicting import serve_network
from convscale.preprocessing import default_preprocessing
from tests.deploy.serving.here import Echo, png, serving

CLASSES = ("cat", 'a "b", c', "Übersee ναυς 犬")
NETWORK = cs.network("small-mbconv").at_resolution(16).with_classes(3)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("net") / "net.safetensors"
    model = cs.build(NETWORK, seed=0)
    torch.nn.init.normal_(model.head.get_submodule("classifier.linear").weight, generator=torch.manual_seed(0))
    cs.save_weights(file, model, cs.WeightsHeader(NETWORK, default_preprocessing(16, 3), CLASSES))
    return file


@pytest.fixture(scope="module")
def client(net: Path) -> Iterator[httpx.Client]:
    with serving(serve_network(net), Limits(max_bytes=100_000, max_pixels=1_000_000, queue=16)) as found:
        yield found


@pytest.fixture(scope="module")
def echo() -> Iterator[httpx.Client]:
    with serving(Echo(), Limits(max_bytes=1000, queue=4)) as found:
        yield found


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def kinds() -> dict[str, bytes]:
    """Images of all sorts, readable and not."""
    colours = Image.fromarray(np.random.default_rng(5).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    array = io.BytesIO()
    np.save(array, np.random.default_rng(6).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    whole = saved(colours, "jpeg")
    return {
        "plain.jpg": whole,
        "own size.jpg": saved(colours.resize((16, 16)), "jpeg"),
        "turned.jpg": saved(colours, "jpeg", exif=exif),
        "four colours.jpg": saved(colours.convert("CMYK"), "jpeg"),
        "Größe 犬.webp": saved(colours, "webp"),
        "deep.png": saved(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100), "png"),
        "clear.png": saved(colours.convert("RGBA"), "png"),
        "moving.gif": saved(colours, "gif", save_all=True, append_images=[colours.rotate(90)]),
        "array.npy": array.getvalue(),
        "cut.jpg": whole[: len(whole) // 2],
        "cut.png": png(0)[:300],
        "page.jpg": b"<!doctype html><title>none</title>",
        "empty.png": b"",
        "long.png": png(0, 1, 200),
        "floats.tiff": saved(Image.fromarray(np.ones((9, 9), np.float32)), "tiff"),
    }


def test_answers_are_those_of_predict(client: httpx.Client, net: Path, tmp_path: Path) -> None:
    images = kinds()
    for name, content in images.items():
        (tmp_path / name).write_bytes(content)
    wanted = cs.predict(net, [tmp_path / name for name in images], top=2, on_unreadable="keep", quiet=True)
    answer = client.post("/predict", params={"top": 2}, files=[("images", item) for item in images.items()])
    assert answer.status_code == 200
    found = answer.json()["predictions"]
    assert [one["image"] for one in found] == list(images)
    assert [one["error"] for one in found] == [
        one.error and one.error.replace(f"{tmp_path}/", "") for one in wanted
    ]  # fmt: skip
    assert sum(one["error"] is not None for one in found) == 6
    for mine, theirs in zip(found, wanted, strict=True):
        assert [one["class"] for one in mine["classes"]] == [name for name, _ in theirs.classes]
        values = [value for _, value in theirs.classes]
        assert [one["probability"] for one in mine["classes"]] == pytest.approx(values, abs=1e-6)


def test_one_image_is_the_body(client: httpx.Client, net: Path) -> None:
    wanted = cs.predict(net, png(1), quiet=True)[0]
    for headers in ({}, {"content-type": "image/png"}, {"content-type": "application/x-www-form-urlencoded"}):
        answer = client.post("/predict", content=png(1), headers=headers)
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
        [found] = answer.json()["predictions"]
        assert found["image"] == wanted.image and len(found["classes"]) == 3
        assert tuple((one["class"], one["probability"]) for one in found["classes"]) == wanted.classes


@pytest.mark.parametrize("name", [name for name in kinds() if name.split(".")[0] in ("cut", "page", "long", "floats")])
def test_what_is_no_image_is_refused(client: httpx.Client, name: str) -> None:
    answer = client.post("/predict", content=kinds()[name])
    assert answer.status_code == 422 and set(answer.json()) == {"error", "hint"}
    assert ("damaged" in answer.json()["error"]) or name[:3] != "cut"


def test_large_images_are_refused_before_they_are_decoded(client: httpx.Client) -> None:
    bomb = saved(Image.new("1", (10_000, 10_000)), "png", compress_level=1)
    for content in (bomb, saved(Image.new("1", (1100, 1000)), "png")):
        answer = client.post("/predict", content=content)
        assert answer.status_code == 422 and "pixels" in answer.json()["error"]
    several = client.post("/predict", files=[("images", ("bomb.png", bomb)), ("images", ("small.png", png(1)))])
    assert [one["error"] is None for one in several.json()["predictions"]] == [False, True]
    none = client.post("/predict", files=[("images", ("none.png", b"oops"))])
    assert none.status_code == 200 and none.json()["predictions"][0]["error"] == "not an image that can be read"


@pytest.mark.parametrize(
    ("query", "options", "status", "text"),
    [
        ("", {"content": b""}, 422, "no image in the request"),
        ("?top=0", {"content": b"1"}, 400, "top '0' is not allowed"),
        ("?top=", {"content": b"1"}, 400, "top '' is not allowed"),
        ("?top=1&top=2", {"content": b"1"}, 400, "top '1, 2' is not allowed"),
        ("?top=%D9%A3", {"content": b"1"}, 400, "is not allowed"),
        ("?top=9999999999", {"content": b"1"}, 400, "is not allowed"),
        ("?to=1", {"content": b"1"}, 400, "unknown parameter 'to'"),
        ("", {"json": {"image": "x"}}, 415, "application/json is not an image"),
        ("", {"content": b"1", "headers": {"content-encoding": "gzip"}}, 415, "gzip"),
        ("", {"content": b"1" * 1001}, 413, "more than 1kB in one request"),
        ("", {"content": iter([b"1" * 600] * 2)}, 413, "more than 1kB in one request"),
        ("", {"files": [("images", ("b", b"1"))] * 5}, 413, "more than 4 images in one request"),
        ("", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
        ("", {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=a"}}, 400, "cannot be read"),
        (
            "",
            {"content": b"--a--\r\n", "headers": {"content-type": "multipart/form-data; boundary=a"}},
            422,
            "no image",
        ),
        ("", {"data": {"a": "1"}, "files": {"images": b"1"}}, 400, "field 'a' is not a file called images"),
        ("", {"files": {"b": b"1"}}, 400, "field 'b' is not a file called images"),
    ],
)
def test_refusals(echo: httpx.Client, query: str, options: dict[str, object], status: int, text: str) -> None:
    answer = echo.post(f"/predict{query}", **options)  # type: ignore[arg-type]
    assert answer.status_code == status and set(answer.json()) == {"error", "hint"}
    assert text in answer.json()["error"] and answer.json()["hint"]


def test_other_paths_and_methods(echo: httpx.Client) -> None:
    answer = echo.get("/predict")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST" and answer.json()["hint"]
    assert echo.get("/").status_code == echo.post("/predict/", content=b"1").status_code == 404
    assert echo.get("/health").json() == {"status": "ok"} and echo.head("/health").status_code == 200


def test_a_failure_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo()) as client:
        failed = client.post("/predict", content=b"13")
        assert failed.status_code == 500 and failed.json()["hint"] == "its log says why"
        assert "ArithmeticError: thirteen" in caplog.text
        assert client.post("/predict", content=b"14").json()["predictions"][0]["classes"][0]["class"] == "14"


def test_counts() -> None:
    with serving(Echo()) as client:
        client.post("/predict", files=[("images", ("b", b"1")), ("images", ("b", b"none")), ("images", ("b", b"2"))])
        client.post("/predict", content=b"none")
        client.get("/nothing")
        answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    values = {(one.name, *one.labels.values()): one.value for one in samples}
    assert values["convscale_requests_total", "200"] == 1 and values["convscale_requests_total", "404"] == 1
    assert values["convscale_images_total", "predicted"] == values["convscale_images_total", "unreadable"] == 2
    assert values["convscale_predict_seconds_count",] == 2 and values["convscale_batch_images_sum",] == 2
    assert values["convscale_info", 'a "b"\n\\c'] == 1 and values["convscale_waiting_images",] == 0
    assert values["process_resident_memory_bytes",] > 1e6 and values["process_cpu_seconds_total",] > 0


def test_the_token() -> None:
    with serving(Echo(), token="s3cret") as client:
        for headers in (
            {},
            {"authorization": "Bearer other"},
            {"authorization": "Basic s3cret"},
            {"authorization": "ü"},
        ):
            for path in ("/metrics", "/openapi.json", "/predict", "/nothing"):
                answer = client.get(path, headers={key: value.encode() for key, value in headers.items()})
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/health").status_code == 200
        allowed = {"authorization": "bearer s3cret", "host": "far.example"}
        assert client.post("/predict", content=b"1", headers=allowed).status_code == 200
        described = client.get("/openapi.json", headers=allowed)
        assert described.json()["security"] == [{"token": []}] and "s3cret" not in described.text


def test_pages_of_other_sites_get_nothing(echo: httpx.Client) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[", "evil.example:80"):
        assert echo.get("/health", headers={"host": host}).status_code == 421
    for host in ("localhost", "localhost:123", "127.0.0.1", "[::1]:8000"):
        assert echo.get("/health", headers={"host": host}).status_code == 200
    own = str(echo.base_url).rstrip("/")
    for origin, status in (("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403), (own, 200)):
        assert echo.post("/predict", content=b"1", headers={"origin": origin}).status_code == status
