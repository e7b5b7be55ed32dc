"""`python -m archivecolor`."""

from archivecolor.cli import main

main()
