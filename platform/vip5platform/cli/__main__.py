"""`python -m vip5platform.cli`: the `vip5` command where it is not installed."""

from vip5platform.cli.vip5 import main

if __name__ == "__main__":
    main()
