"""A hub that does not answer is asked once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from convscale.dialects import get_weights
from convscale.errors import RunError

pytest.importorskip("huggingface_hub")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """What a hub is asked, which hangs up at every question."""
    questions: list[str] = []

    class Silent(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            questions.append(self.path)
            self.connection.close()

        do_GET = do_HEAD

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        def finish(self) -> None:
            """Nothing is left to send."""

    server = HTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield questions
    server.shutdown()
    server.server_close()
    thread.join()


def test_one_question_and_what_to_do(asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="resnet18.a1_in1k cannot be fetched: ") as refused:
        get_weights("resnet-18", hub_cache=tmp_path / "hub")
    questions = [question for question in asked if "resolve" in question]
    assert questions == ["/timm/resnet18.a1_in1k/resolve/main/model.safetensors"]
    assert "on a machine with network access, download" in refused.value.hint
