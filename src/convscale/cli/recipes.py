"""convscale recipes"""

from __future__ import annotations

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json
from convscale.recipes import LIBRARY


@click.group()
def command() -> None:
    """List and show recipes, which say how networks are trained."""


@command.command("list")
@json_option
def list_recipes(as_json: bool) -> None:
    """List the recipes that ship with Convscale."""
    found = {name: LIBRARY.read(name) for name in LIBRARY.names()}
    if as_json:
        print_json({"recipes": [{"name": name, "note": recipe.note} for name, recipe in found.items()]})
        return
    for name, recipe in found.items():
        print(f"{name:<14} {recipe.purpose}")


@command.command("show")
@click.argument("recipe", metavar="NAME|FILE.toml")
def show_recipe(recipe: str) -> None:
    """Print a recipe as it is written: a file to copy and change."""
    LIBRARY.read(recipe)  # a file that is no recipe is refused
    print(LIBRARY.text(recipe), end="")
