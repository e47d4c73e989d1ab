"""`python -m cli` is the same as `serinus`."""

from cli.main import main

if __name__ == "__main__":  # not in the processes of a simulation
    main()
