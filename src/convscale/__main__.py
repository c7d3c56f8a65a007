"""python -m convscale: the command line."""

from convscale.cli.main import main

main()
