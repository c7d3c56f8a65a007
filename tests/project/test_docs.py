"""The README's and the docs' blocks run, and the examples do."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import convscale as cs
from convscale.fitting import choose
from convscale.networks import ConvNet
from convscale.report.plans import budget_in_words, law_in_words, network_in_words
from convscale.schema import from_table
from tests.forking import forking_command, run_forked

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def run(folder: Path, *arguments: object) -> str:
    """Python with `arguments`; what it says."""
    done = run_forked(*arguments, folder=folder, environment={"PYTHONWARNINGS": "error"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", [path for path in DOCS if blocks(path, "python")], ids=lambda path: path.name)
def test_python_blocks_run_and_print_what_they_say(path: Path, tmp_path: Path) -> None:
    code = "\n".join(blocks(path, "python"))
    code = re.sub(r"^(print\(.*\))  +# (?:.*: )?([\w. ]+)$", r"\1; print('said', '\2')", code, flags=re.MULTILINE)
    lines = run(tmp_path, "-c", code).splitlines()
    said = [(before, line) for before, line in pairwise(lines) if line.startswith("said ")]
    assert said and all(line == f"said {before}" for before, line in said)


@pytest.mark.parametrize("block", [b for b in blocks(ROOT / "README.md", "sh") if "convscale " in b])
def test_shell_blocks_run(block: str, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with forking_command(tmp_path) as tools:
        environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": "error"}
        words = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(
            words, cwd=tmp_path / "work", env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [path for path in DOCS if blocks(path, "toml")], ids=lambda path: path.name)
def test_networks_in_the_docs_are_networks(path: Path) -> None:
    for block in blocks(path, "toml"):
        assert cs.cost(from_table(ConvNet, tomllib.loads(block))).macs > 0


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    assert run(tmp_path, path)


def test_the_readmes_demo_is_the_plan_of_the_demo() -> None:
    text = (ROOT / "README.md").read_text()
    planned = cs.plan(choose(cs.open_dataset("digits")).baseline, cs.Budget(macs="5M"))
    for words in (law_in_words(planned), network_in_words(planned), budget_in_words(planned)):
        assert words in text


def test_the_tree_in_contributing_is_the_tree() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"^\| `src/convscale/(\w+)` \|", text, re.MULTILINE))
    folders = {p.name for p in (ROOT / "src" / "convscale").iterdir() if (p / "__init__.py").exists()}
    assert named == folders


def test_links_in_the_docs_lead_somewhere() -> None:
    for path in [*DOCS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} -> {target}"


def test_tests_that_the_docs_name_are_there() -> None:
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]:
        text = path.read_text()
        assert all((ROOT / named).exists() for named in re.findall(r"\btests/[\w/]*\w(?:\.\w+)?", text)), path
        assert set(re.findall(r"(?<!/)\btest_\w+\.py", text)) <= tests, path
