"""The server holds to its OpenAPI description: schemathesis tries what that allows, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import convscale as cs
from convscale.deploy.serving.limits import Limits
from convscale.deploy.serving.predicting import serve_network
from convscale.preprocessing import default_preprocessing
from tests.deploy.serving.here import serving

TOKEN = "s3cret"


@pytest.fixture(scope="module", params=[None, TOKEN])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a real network: what is generated for image/* are images."""
    network = cs.network("tiny-mbconv").at_resolution(16).with_classes(3)
    file = tmp_path_factory.mktemp("net") / "net.safetensors"
    header = cs.WeightsHeader(network, default_preprocessing(16, 3), tuple("abc"))
    cs.save_weights(file, cs.build(network, seed=0), header)
    with serving(serve_network(file), Limits(max_bytes=100_000), token=request.param) as found:
        found.headers["authorization"] = f"Bearer {request.param}"
        yield found


@pytest.mark.long
def test_schemathesis_finds_nothing(client: httpx.Client, tmp_path: Path) -> None:
    address = str(client.base_url).rstrip("/") + "/openapi.json"
    words = ["run", address, "--max-examples", "25", "--seed", "1", "--no-color", "--suppress-health-check", "all"]
    words += ["--header", f"Authorization: {client.headers['authorization']}", "--generation-database", "none"]
    done = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", *words],
        capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path, env=os.environ | {"NO_PROXY": "*"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 selected / 3 total" in done.stdout  # all but the description itself
    assert 'status="500"' not in client.get("/metrics").text


def test_what_is_described_is_there(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    assert described["openapi"] == "3.1.0" and "network tiny-mbconv" in described["info"]["description"]
    for path in described["paths"]:
        assert client.options(path).status_code == 405
    statuses = set(described["paths"]["/predict"]["post"]["responses"])
    assert {"200", "400", "408", "413", "415", "422", "429", "500"} < statuses
    assert ("401" in statuses) == ("securitySchemes" in described["components"])
