"""convscale serve as a process: where it listens, what it refuses to do, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

import convscale as cs
from convscale.deploy.conversion import write_onnx
from convscale.deploy.serving.running import address_of, listen
from convscale.errors import ConfigError
from convscale.preprocessing import default_preprocessing
from tests.cli.calling import run
from tests.deploy.serving.here import png
from tests.forking import Forked


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = cs.network("tiny-mbconv").at_resolution(16).with_classes(3)
    file = tmp_path_factory.mktemp("net") / "net.safetensors"
    cs.save_weights(
        file, cs.build(network, seed=0), cs.WeightsHeader(network, default_preprocessing(16, 3), tuple("abc"))
    )
    return file


class Served:
    """The command in a process of its own, and its address."""

    def __init__(self, folder: Path, *words: object) -> None:
        self.out, self.err = folder / "out", folder / "err"
        streams = (os.devnull, str(self.out), str(self.err))
        self.process = Forked(
            ("-m", "convscale", "serve", *map(str, words)), streams, environment={"PYTHONWARNINGS": "error"}
        )
        ends = time.monotonic() + 120
        while not (self.out.exists() and self.out.read_text().endswith("\n")):
            assert time.monotonic() < ends and (not self.err.exists() or not self.err.read_text()), self.err.read_text()
            time.sleep(0.05)
        self.address = self.out.read_text().split()[-1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)
        return self.process.wait()


@pytest.fixture
def served(net: Path, tmp_path: Path) -> Iterator[Served]:
    started = Served(tmp_path, net, "--port", 0, "--max-batch", 4)
    yield started
    started.stop(signal.SIGKILL)


def test_sigterm_ends_it_when_all_is_answered(served: Served, net: Path) -> None:
    wanted = cs.predict(net, png(3), quiet=True)[0].classes
    with httpx.Client(base_url=served.address, timeout=60, trust_env=False) as client, ThreadPoolExecutor(8) as pool:
        assert client.get("/health").json() == {"status": "ok"}
        large = png(4, 800, 800, 3)
        asked = [pool.submit(client.post, "/predict", content=large) for _ in range(7)]
        asked.append(pool.submit(client.post, "/predict", content=png(3)))
        while "convscale_waiting_images 0" in client.get("/metrics").text:
            assert not all(one.done() for one in asked), [one.result().text for one in asked]
        assert served.stop() == 0
        answers = [one.result(60) for one in asked]
    assert {one.status_code for one in answers} == {200}
    named = [(one["class"], one["probability"]) for one in answers[-1].json()["predictions"][0]["classes"]]
    assert named == [(name, pytest.approx(value, abs=1e-6)) for name, value in wanted]
    assert served.err.read_text() == "" and "serving network tiny-mbconv, classes 3" in served.out.read_text()


def write_exported(net: Path, folder: Path) -> Path:
    model, header = cs.load_weights(net)
    write_onnx(model, folder / "net.onnx", metadata=header.as_metadata())
    return folder / "net.onnx"


@pytest.mark.long
@pytest.mark.parametrize("how", ["openvino", "file"])
def test_other_engines_and_exported_files_answer_alike(how: str, net: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime" if how == "file" else how)
    words = (net, "--engine", how) if how != "file" else (write_exported(net, tmp_path),)
    served = Served(tmp_path, *words, "--port", 0)
    files = [("images", (f"{seed}.png", png(seed))) for seed in range(5)]
    answer = httpx.post(f"{served.address}/predict", files=files, timeout=60, trust_env=False)
    assert served.stop() == 0 and f"engine {'onnxruntime' if how == 'file' else how}" in served.out.read_text()
    wanted = cs.predict(net, [content for _, (_, content) in files], quiet=True)
    for found, one in zip(answer.json()["predictions"], wanted, strict=True):
        values = {name: pytest.approx(value, abs=1e-4) for name, value in one.classes}
        assert {row["class"]: row["probability"] for row in found["classes"]} == values


def test_ctrl_c_ends_it_too(served: Served) -> None:
    assert httpx.get(f"{served.address}/health", trust_env=False).status_code == 200
    assert served.address.startswith("http://127.0.0.1:") and served.stop(signal.SIGINT) == 0


def test_other_machines_need_a_token(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "serve", net, "--host", "0.0.0.0")
    assert code == 2 and out == "" and "--token" in err
    for token in ("", "two words", "ü"):
        code, _, err = run(capsys, "serve", net, "--host", "0.0.0.0", "--token", token)
        assert code == 2 and "a token is" in err
    served = Served(tmp_path, net, "--port", 0, "--host", "0.0.0.0", "--token", "abc")
    address = served.address.replace("0.0.0.0", "127.0.0.1")
    assert httpx.get(f"{address}/metrics", trust_env=False).status_code == 401
    bearer = {"authorization": "Bearer abc"}
    assert httpx.get(f"{address}/metrics", headers=bearer, trust_env=False).status_code == 200
    assert served.stop() == 0 and "abc" not in served.out.read_text().split(":")[0]


def test_what_cannot_be_served(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = run(capsys, "serve", net, "--port", port)
        assert code == 2 and out == "" and f"port {port} of 127.0.0.1 cannot be had" in err and "--port 0" in err
    code, _, err = run(capsys, "serve", net, "--host", "no.such.host.invalid", "--token", "t")
    assert code == 2 and "'no.such.host.invalid' is not known here" in err
    code, _, err = run(capsys, "serve", tmp_path / "none")
    assert code == 2 and "no such run folder or weights file" in err
    code, _, err = run(capsys, "serve", tmp_path / "none.onnx", "--port", 0)
    assert code == 2 and "none.onnx: no such file" in err
    code, _, err = run(capsys, "serve", net, "--engine", "eagle")
    assert code == 2 and "unknown engine 'eagle'" in err and "eager" in err
    (tmp_path / "bad.safetensors").write_bytes(b"oops")
    code, _, err = run(capsys, "serve", tmp_path / "bad.safetensors", "--port", 0)
    assert code == 2 and "not a safetensors file" in err
    for words in (("--max-bytes", "0"), ("--max-pixels", "many"), ("--queue", "0"), ("--port", "70000")):
        assert run(capsys, "serve", net, *words)[0] == 2
    for host in ("256.1.1.1", "x" * 300, "a\0b"):
        with pytest.raises(ConfigError, match="not known here"):
            listen(host, 0)


def test_ipv6_where_there_is_one() -> None:
    try:
        listening = listen("::1", 0)
    except ConfigError:
        pytest.skip("no IPv6 here")
    with listening:
        assert address_of(listening).startswith("http://[::1]:")


@pytest.mark.parametrize("package", ["uvicorn", "starlette", "python_multipart"])
def test_missing_packages_are_named(
    net: Path, package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = run(capsys, "serve", net, "--port", 0)
    assert code == 1 and f"needs {package.replace('_', '-')}" in err and "pip install 'convscale[serve]'" in err
