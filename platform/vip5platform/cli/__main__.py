"""`python -m vip5platform.cli`: the `vip5` command without an installation."""

from vip5platform.cli.vip5 import main

if __name__ == "__main__":
    main()
