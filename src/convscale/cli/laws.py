"""Options that name a scaling law."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from convscale.scaling import ScalingLaw

F = TypeVar("F", bound=Callable[..., Any])


def law_options(command: F) -> F:
    """Add the options that name a scaling law."""
    options = (
        click.option("--law", "law_name", metavar="NAME",
                     help="compound, depth, width, resolution, uniform, fast [default: compound]."),
        click.option("--alpha", type=float, help="Depth at phi 1, for the compound law [default: 1.2]."),
        click.option("--beta", type=float, help="Width at phi 1 [default: 1.1]."),
        click.option("--gamma", type=float, help="Resolution at phi 1 [default: 1.15]."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def pick_law(name: str | None, alpha: float | None, beta: float | None, gamma: float | None) -> ScalingLaw:
    """The law that `law_options` named."""
    from convscale.scaling import law

    given = {"alpha": alpha, "beta": beta, "gamma": gamma}
    return law(name or "compound", **{key: value for key, value in given.items() if value is not None})


def pick_law_with_evidence(
    name: str | None, alpha: float | None, beta: float | None, gamma: float | None, coefficients: str | None
) -> tuple[ScalingLaw, str]:
    """The law that `law_options` or --coefficients named, and a sentence about where it comes from."""
    from convscale.scaling import PAPER, read_coefficients

    if coefficients is not None:
        if (name, alpha, beta, gamma) != (None, None, None, None):
            raise click.UsageError("--coefficients already sets the law; leave out --law, --alpha, --beta, --gamma")
        found = read_coefficients(coefficients)
        law = found.law()
        return law, f"alpha {found.alpha:.4g}, beta {found.beta:.4g}, gamma {found.gamma:.4g}: {found.note}"
    law = pick_law(name, alpha, beta, gamma)
    if law == PAPER.law():
        return law, f"alpha {PAPER.alpha}, beta {PAPER.beta}, gamma {PAPER.gamma} are {PAPER.note}"
    return law, f"depth {law.depth:.4g}, width {law.width:.4g}, resolution {law.resolution:.4g} at phi 1, as asked"
