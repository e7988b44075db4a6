"""The `vip5` command, run in this process."""

from __future__ import annotations

import pytest
from vip5platform.cli.vip5 import main


def run_vip5(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output with single spaces, standard error."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    seen = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, " ".join(seen.out.split()), seen.err
