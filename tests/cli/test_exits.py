"""Exit codes and hints, what the command line does without PyTorch, and what a process leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import convscale as cs
from tests.cli.calling import run
from tests.forking import Forked


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["plna"], "unknown command 'plna'", "did you mean 'plan'?"),
        (["cost", "efficientnet-b9"], "unknown network 'efficientnet-b9'", "did you mean 'efficientnet-b8'"),
        (["cost"], "Missing argument 'NETWORK'", "convscale cost --help"),
        (["cost", "resnet-50", "--resolutoin", "3"], "No such option", "convscale cost --help"),
        (["cost", "resnet-50", "--resolution", "x"], "not a valid integer", "--help"),
        (["cost", "resnet-50", "--resolution", "224x320"], "inputs are square; give one side, 224 or 320", "--help"),
        (["show", "resnet-50", "--resolution", "224,320"], "inputs are square", "--help"),
        (["plan", "resnet-50", "--macs", "1G", "--resolution", "320X180"], "inputs are square", "--help"),
        (["fit", "digits", "--macs", "1M", "--max-resolution", "8x16"], "inputs are square", "--help"),
        (["eval", "x", "--data", "y", "--resolution", "8,8x16"], "inputs are square", "--help"),
        (["train", "resnet-50", "--data", "digits", "-o", "x", "--resolution", "8x16"], "inputs are square", "--help"),
        (["convert", "x.pth", "-o", "y", "--resolution", "8x16"], "inputs are square", "--help"),
        (["coefficients", "resnet-50", "--data", "digits", "--resolution", "8x16"], "inputs are square", "--help"),
        (["study", "run", "demo", "--resolution", "8x16"], "inputs are square", "--help"),
        (["plan", "resnet-50", "--macs", "1G", "--resolution", "240", "--max-resolution", "224"], "is above", "omit"),
        (["scale", "efficientnet-b0", "--resolution", "240"], "240 is a multiplier here", "--resolution 1.071"),
        (["scale", "small-mbconv", "--resolution", "40"], "40 is a multiplier here", "--resolution 1.25"),
        (["cost", "resnet-50", "--resolution", "16"], "resolution 16 is not allowed", "32 to"),
        (["cost", "resnet-50", "--classes", "0"], "num_classes 0", "1 to"),
        (["cost", "none.toml"], "none.toml: cannot be read", ""),
        (["plan", "efficientnet-b0"], "at least one limit", "macs 600M"),
        (["plan", "efficientnet-b0", "--macs", "1X"], "macs: '1X' is not a quantity", "600M"),
        (["plan", "efficientnet-b0", "--macs", "nan"], "macs: 'nan'", "600M"),
        (["plan", "efficientnet-b0", "--macs=-1G"], "macs: '-1G'", "600M"),
        (["plan", "efficientnet-b0", "--macs", "10k"], "smallest achievable 3", "raise the limit"),
        (["plan", "efficientnet-b3", "--macs", "1G"], "already scaled", "scale efficientnet-b0"),
        (["plan", "resnet-50", "--macs", "1G", "--law", "compond"], "unknown scaling law", "'compound'"),
        (["plan", "resnet-50", "--macs", "1G", "--law", "depth", "--alpha", "2"], "takes no alpha", "--law compound"),
        (["plan", "resnet-50", "--macs", "1G", "--coefficients", "no.toml"], "no.toml: cannot be read", ""),
        (["plan", "resnet-50", "--macs", "1G", "--coefficients", "x.toml", "--law", "depth"], "already sets", "--help"),
        (["scale", "resnet-50"], "give one of --phi", "--help"),
        (["scale", "resnet-50", "--depth", "2", "--law", "width"], "go with --phi", "--help"),
        (["scale", "resnet-50", "--phi", "1", "-o", "no/such/net.toml"], "no file can be written there", "--help"),
        (["scale", "resnet-50", "--phi", "1", "--depth", "2"], "give one of", "--help"),
        (["scale", "resnet-50", "--phi", "nan"], "phi nan", ""),
        (["scale", "resnet-50", "--width", "0"], "width multiplier 0.0", "above 0"),
        (["scale", "resnet-50", "--published", "b9"], "unknown published scaling", "allowed: b0"),
        (["fit", "digits"], "at least one limit", ""),
        (["fit", "nowhere", "--macs", "1M"], "nowhere: no such file or folder", "'digits'"),
        (["fit", "digits", "--macs", "1M", "--recipe", "digit"], "unknown recipe", "'digits'"),
        (["fit", "digits", "--macs", "1M", "--baseline", "resnet50"], "unknown network", "'resnet-50'"),
        (["train", "resnet-50", "--data", "digits"], "Missing option '-o'", "--help"),
        (["eval", "nowhere", "--data", "digits"], "nowhere: no such run folder or weights file", ""),
        (["eval", "x", "--data", "y", "--resolution", "224,x"], "'--resolution': 'x' is not a whole number", "--help"),
        (["eval", "x", "--data", "y", "--resolution", "0"], "'0' is not a whole number from 1 to 16384", "--help"),
        (["eval", "x", "--data", "y", "--crop", "0.9,nan"], "'--crop': 'nan' is not a number from 0.1 to 1", "--help"),
        (["eval", "x", "--data", "y", "--crop", "1,"], "'' is not a number from 0.1 to 1", "--help"),
        (
            ["eval", "x", "--data", "y", "--crop", "1,.5", "--predictions", "p"],
            "require a single --resolution",
            "--help",
        ),
        (["predict", "nowhere", "x.png"], "nowhere: no such run folder", ""),
    ],
)
def test_bad_input_exits_with_2_and_one_hint(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, hint: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == ""
    lines = err.splitlines()
    assert lines[0].startswith("error: ") and message in lines[0]
    assert len(lines) <= 2 and (hint in lines[1] if hint else True)


@pytest.mark.long
def test_nothing_is_written_to_the_home_but_the_cache(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = ["-m", "convscale", "train", "small-resnet", "--data", "digits", "--recipe", "digits", "--epochs", "1"]
    command += ["--resolution", "8"]
    unset = {name: "" for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR")}
    result = fresh(*command, "-o", str(tmp_path / "run"), HOME=str(home), **unset)
    assert result.returncode == 0, result.stderr
    assert {str(path.relative_to(home)) for path in home.glob("*/*")} <= {".cache/convscale"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "lerning_rate=1"], "did you mean 'learning_rate'"),
        (["--set", "optimizer.type=lion"], "optimizer.type: unknown 'lion'"),
        (["--batch", "many"], "neither auto nor a whole number"),
        (["--batch", "1"], "neither auto nor a whole number"),
        (["--recipe", "digist"], "did you mean 'digits'"),
        (["--epochs", "0"], "--epochs"),
        (["--checkpoint-seconds", "-1"], "--checkpoint-seconds"),
    ],
)
def test_mistakes_are_told_before_pytorch_is_loaded(tmp_path: Path, arguments: list[str], message: str) -> None:
    code = (
        "import sys; from convscale.cli.main import run; code = run(sys.argv[1:]); "
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules; sys.exit(code)"
    )
    result = fresh("-c", code, "train", "small-resnet", "--data", "digits", "-o", str(tmp_path / "run"), *arguments)
    assert result.returncode == 2 and message in result.stderr.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def fresh(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ | environment, check=False
    )


WITHOUT_TORCH = """
import sys
for name in ("torch", "numpy", "PIL", "pyarrow", "sklearn"):
    sys.modules[name] = None
from convscale.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["list"], 0),
        (["show", "efficientnet-b0"], 0),
        (["cost", "resnet-50", "--json"], 0),
        (["scale", "efficientnet-b0", "--phi", "2"], 0),
        (["plan", "efficientnet-b0", "--macs", "1G", "--json"], 0),
        (["plan", "efficientnet-b0", "--macs", "1X"], 2),
        (["fit", "digits", "--macs", "1X"], 2),
        (["fit", "digits", "--macs", "1M", "--baseline", "zebra"], 2),
        (["fit", "digits", "--macs", "1M", "--recipe", "zebra"], 2),
        (["fit", "digits", "--macs", "1M", "--seed", "-1"], 2),
        (["eval", "nowhere", "--data", "digits"], 2),
        (["predict", "nowhere", "x.png"], 2),
        (["train", "efficientnet-b9", "--data", "digits", "-o", "x"], 2),
        (["train", "efficientnet-b0", "--data", "digits", "--recipe", "zebra", "-o", "x"], 2),
    ],
)
def test_what_needs_no_torch(arguments: list[str], code: int) -> None:
    result = fresh("-c", WITHOUT_TORCH, *arguments)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr


def test_python_m_and_a_reader_that_goes_away() -> None:
    assert fresh("-m", "convscale", "--version").stdout.strip() == f"convscale, version {cs.__version__}"
    child = subprocess.run(
        f"{sys.executable} -m convscale list | head -1", shell=True, capture_output=True, text=True, check=False
    )
    assert "name" in child.stdout and "Traceback" not in child.stderr and "BrokenPipe" not in child.stderr


def test_interruption_has_its_exit_codes(tmp_path: Path) -> None:
    for index, (number, code) in enumerate(((signal.SIGINT, 130), (signal.SIGTERM, 143))):
        run, out, err = (tmp_path / f"{name}-{index}" for name in ("run", "out", "err"))
        words = ("-m", "convscale", "fit", "digits", "--macs", "1M", "-o", str(run))
        child = Forked(words, (os.devnull, str(out), str(err)))
        metrics = run / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not metrics.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        os.kill(child.pid, number)
        assert child.wait(30) == code, err.read_text()
        assert out.read_text() == "" and "Traceback" not in err.read_text()


def test_commands_leave_no_trace_in_the_home_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    result = fresh("-m", "convscale", "plan", "efficientnet-b0", "--macs", "1G", HOME=str(home))
    assert result.returncode == 0 and list(home.iterdir()) == []
