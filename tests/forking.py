"""Commands in processes of their own that need no start: forked from one that has imported what commands import.

Import times are not what most tests are about: PyTorch and what a training brings take seconds of each process. Tests
that are about a fresh interpreter (what it imports, what it leaves behind) start one.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import runpy
import socketserver
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

IMPORTED = [
    "torch._dynamo", "sklearn.datasets", "matplotlib.figure", "matplotlib.backends.backend_agg",
    "convscale.cli.coefficients", "convscale.cli.evaluate", "convscale.cli.fit", "convscale.cli.resume",
    "convscale.cli.study", "convscale.fitting", "convscale.trials.local",
]  # fmt: skip
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(IMPORTED)


class Forked:
    """A process that runs Python with `arguments`, as `python *arguments` would.

    `arguments` are `-m MODULE ...`, `-c CODE ...` or a file and more. `streams` are three files: what it reads, and
    where it writes what it says and its errors; all three may be one terminal. It leads a session of its own.
    `environment` comes on top of this process's; a value of None takes a variable away.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        streams: Sequence[str],
        folder: str | Path | None = None,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        wanted = os.environ | dict(environment or {})
        variables = {name: value for name, value in wanted.items() if value is not None}
        work = (arguments, streams, str(folder or Path.cwd()), variables)
        self._process = _FORKING.Process(target=_run, args=work)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def wait(self, timeout: float = 120) -> int:
        """Its exit code, negative for a signal. Raises TimeoutError, and leaves none behind."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"process {self.pid} did not end within {timeout} s")
        return self._process.exitcode


def run_forked(
    *arguments: object, folder: Path | None = None, environment: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, and say what came of it."""
    words = tuple(map(str, arguments))
    with TemporaryDirectory() as kept:
        out, err = (str(Path(kept) / name) for name in ("out", "err"))
        code = Forked(words, (os.devnull, out, err), folder, environment).wait()
        return subprocess.CompletedProcess(words, code, Path(out).read_text(), Path(err).read_text())


@contextmanager
def forking_command(folder: Path) -> Iterator[Path]:
    """A folder to put first in PATH: its `convscale` is the command line, forked by this process for whoever calls it,
    with the caller's streams, folder and environment."""
    address = folder / "socket"
    (folder / "convscale").write_text(CALLER.format(python=sys.executable, address=str(address)))
    (folder / "convscale").chmod(0o755)
    with socketserver.ThreadingUnixStreamServer(str(address), _Calls) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield folder
        finally:
            server.shutdown()
            thread.join()


CALLER = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({address!r})
    call = [os.getpid(), sys.argv[1:], os.getcwd(), dict(os.environ)]
    connection.sendall(json.dumps(call).encode() + b"\\n")
    sys.exit(int(connection.makefile().readline()))
"""


class _Calls(socketserver.StreamRequestHandler):
    """One call of the command: it runs, and its exit code is the answer."""

    def handle(self) -> None:
        pid, words, folder, environment = json.loads(self.rfile.readline())
        streams = tuple(f"/proc/{pid}/fd/{number}" for number in range(3))
        unset = dict.fromkeys(os.environ)
        code = Forked(("-m", "convscale", *words), streams, folder, unset | environment).wait()
        self.wfile.write(f"{code}\n".encode())


def _run(arguments: tuple[str, ...], streams: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
    """What the new process does; it does not return."""
    os.setsid()
    for number, path in enumerate(streams):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOCTTY)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if environment.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    os._exit(_code_of(arguments))


def _code_of(arguments: tuple[str, ...]) -> int:
    try:
        match arguments:
            case ("-m", module, *words):
                sys.argv = [module, *words]
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            case ("-c", code, *words):
                sys.argv = ["-c", *words]
                exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
            case (file, *words):
                sys.argv = [file, *words]
                runpy.run_path(file, run_name="__main__")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
