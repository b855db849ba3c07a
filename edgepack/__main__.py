"""`python -m edgepack` is the command line."""

from edgepack.cli.app import main

main()
