"""The command `convscale`: names its commands without importing them, and turns every outcome into an exit code.

0 done; 1 failed; 2 wrong usage or configuration, with one line of advice; 130 and 143 when interrupted.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from convscale import terminal
from convscale.errors import ConvscaleError, RunError, UnknownNameError
from convscale.units import printable
from convscale.version import __version__

# Command -> what it does, in the order of the steps from a budget to a trained network. Each lives in
# cli/NAME.py as `command` (`list` and `eval` in list_networks.py and evaluate.py).
COMMANDS = {
    "list": "List the named networks, with parameters and MACs.",
    "show": "Show a network's stages, as table 1 of the paper, or a run's whole story.",
    "cost": "Show a network's parameters, MACs, activations and memory.",
    "bench": "Measure how long networks take on this machine, engine by engine.",
    "scale": "Scale a network in depth, width and resolution.",
    "plan": "Scale a network so that it spends a budget.",
    "profile": "Time networks on this machine, so that latency can be predicted and planned.",
    "family": "Scale a network at several phi: true costs, and accuracies with --train.",
    "data": "Check images before a network is trained on them.",
    "recipes": "List and show recipes, which say how networks are trained.",
    "fit": "Plan, train and evaluate in one go: images and a budget in, a network out.",
    "train": "Train a network on images.",
    "resume": "Resume an interrupted training.",
    "runs": "List the runs below a folder: what they are, their state, their accuracy.",
    "report": "Write runs, studies and searches as one HTML file that stands alone.",
    "eval": "Measure the accuracy of a trained network on images.",
    "predict": "Predict the classes of images.",
    "serve": "Answer requests for predictions over HTTP.",
    "explain": "Show where a network finds what it says of images: class activation maps.",
    "export": "Export a network to a file of another runtime, run again and compared.",
    "convert": "Convert weights of other libraries to a Convscale file, and back.",
    "weights": "List and fetch published weights.",
    "coefficients": "Find alpha, beta and gamma of a network on images.",
    "study": "Run, watch and resume studies: many trainings, one question.",
    "doctor": "Check this machine and this installation.",
}
_FILES = {"list": "list_networks", "eval": "evaluate"}


class _LazyGroup(click.Group):
    """Knows its commands by name; imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"convscale.cli.{_FILES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise UnknownNameError("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with: convscale fit digits --macs 5M",
)
@click.version_option(__version__, prog_name="convscale")
def cli() -> None:
    """Turn a compute budget and a set of images into a trained, deployable ConvNet, by compound scaling."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    # Threads that spin while they wait ruin each other where others work too; read when PyTorch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
    code = run(args)
    if code == 130:  # Python itself would die by the signal where it struck inside an exec, as imports do
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        words = tuple(sys.argv[1:] if args is None else args)
        cli.main(words, prog_name="convscale", standalone_mode=False, obj=words)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "convscale"
        return _fail(error.format_message(), f"{where} --help", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), "", error.exit_code)
    except ConvscaleError as error:
        unused = error.exit_code != 2 or isinstance(error, RunError)
        hint = error.hint or ("" if unused else "convscale --help")
        return _fail(error.message, hint, error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", "", 130)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'stdout or a file'}: {error.strerror or error}", "", 1)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
            return _fail("out of memory", "a smaller --batch, or a network with less training memory", 1)
        raise
    finally:
        terminal.live.clear()
    return 0


def _fail(message: str, hint: str, code: int) -> int:
    red = terminal.styled("error:", "red", sys.stderr)
    shown = terminal.fitted(f"error: {printable(message)}", terminal.width(sys.stderr))
    terminal.live.keep(shown.replace("error:", red, 1))
    if hint:  # in one line, to copy
        print(terminal.styled(f"hint: {hint}", "dim", sys.stderr), file=sys.stderr)
    return code


def _terminated(signum: int, frame: FrameType | None) -> None:
    sys.exit(143)
