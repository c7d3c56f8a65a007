"""Check that the lowest versions that pyproject.toml promises are enough: an environment of them, and a short suite.

    python .ci/lowest.py [FOLDER]        # FOLDER: of the environment, .venv-lowest

PyTorch is taken at its lowest version only where an index has a CPU build of it; else at the version of
constraints.txt, and the check says so. Old libraries may warn of newer ones beside them: here warnings are no errors.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("digits", "study", "tensorboard")
TOOLS = ("pytest", "pytest-timeout", "hypothesis")
SUITE = (
    "tests/ground", "tests/networks/test_networks.py", "tests/planning", "tests/recipes",
    "tests/search/test_candidates.py", "tests/search/test_statistics.py", "tests/search/test_search.py",
    "tests/search/test_halving.py", "tests/search/test_storage.py",
    "tests/training/test_training.py", "tests/cli/test_pinned.py", "tests/cli/test_commands.py",
    "tests/cli/test_exits.py",
)  # fmt: skip
NEEDS_TIMM = "tests/recipes/test_recipes.py::test_rmsprop_is_timm_s"


def lowest_versions() -> dict[str, str]:
    """Each requirement of the package and of the extras that are tested, at the least version that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = project["dependencies"] + [one for extra in EXTRAS for one in project["optional-dependencies"][extra]]
    return dict(re.fullmatch(r"([\w.-]+)>=([\w.]+)", one).groups() for one in named)  # type: ignore[union-attr]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".venv-lowest"
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    versions = lowest_versions()
    torch = versions.pop("torch")
    if subprocess.run([*install, f"torch=={torch}+cpu"], capture_output=True, check=False).returncode:
        print(f"torch {torch}: no CPU build of it is at hand; the version of constraints.txt is tested in its place")
        subprocess.run([*install, "--constraint", ROOT / "constraints.txt", "torch"], check=True)
    subprocess.run([*install, *(f"{name}=={version}" for name, version in versions.items())], check=True)
    subprocess.run([*install, "--constraint", ROOT / "constraints.txt", *TOOLS], check=True)
    subprocess.run([*install, "--no-deps", "--editable", ROOT], check=True)
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "check"], check=True)
    environment = os.environ | {"GOMP_SPINCOUNT": "0", "OMP_NUM_THREADS": "1"}
    sys.exit(
        subprocess.run(
            [python, "-m", "pytest", "-W", "default", *SUITE], cwd=ROOT, env=environment, check=False
        ).returncode
    )


if __name__ == "__main__":
    main()
