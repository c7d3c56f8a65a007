"""convscale doctor"""

from __future__ import annotations

import warnings

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_table
from convscale.diagnosis import Diagnosis, diagnose
from convscale.report.tables import Table, text_column
from convscale.units import format_bytes


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Check this machine and installation: cores, memory, disk, versions, GPU, and what would fail."""
    report = diagnose(_look_at_torch)
    if as_json:
        print_json(report)
    else:
        _print(report)


def _look_at_torch(report: Diagnosis) -> None:
    """Threads and GPUs, from PyTorch itself; what goes wrong in it becomes a problem of one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import torch

            report.threads = torch.get_num_threads()
            for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
                device = torch.cuda.get_device_properties(index)
                report.gpu.append({"name": device.name, "memory_bytes": device.total_memory})
        except Exception as error:  # a broken installation or driver raises anything
            report.problems.append(f"PyTorch does not work: {_one_line(error)}")
    report.problems += [f"PyTorch warns: {_one_line(warning.message)}" for warning in caught]


def _one_line(message: object) -> str:
    return " ".join(f"{message}".split())[:300] or type(message).__name__


def _print(report: Diagnosis) -> None:
    memory = {key: "unknown" if value is None else format_bytes(value) for key, value in report.memory.items()}
    load = ", ".join("unknown" if value is None else f"{value:.2f}" for value in list(report.load.values())[:3])
    gpus = [f"{gpu['name']}, {format_bytes(gpu['memory_bytes'])}" for gpu in report.gpu]
    lines = [
        ("cores", f"{report.cores}, PyTorch's threads {report.threads}"),
        ("spin", "threads spin while they wait: " + report.spin["advice"] if report.spin["spins"] else "off"),
        ("load", f"{load} over 1, 5 and 15 minutes{', busy' if report.load['busy'] else ''}"),
        ("memory", f"{memory['total_bytes']}, {memory['available_bytes']} available"),
        ("disk", f"{format_bytes(report.disk['free_bytes'])} free in {report.disk['folder']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
        ("gpu", "; ".join(gpus) or "none that PyTorch can use"),
    ]
    for name, extra in report.extras.items():
        state = f"{', '.join(extra['missing'])} missing: {extra['install']}" if extra["missing"] else "installed"
        lines.append((f"extra {name}", state))
    first, *others = report.problems or ["none"]
    lines += [("problems", first), *(("", problem) for problem in others)]
    print_table(Table((text_column(""), text_column("", wrap=True)), lines))
