"""`python -m cli` is the same as `serinus`."""

from cli.main import main

main()
