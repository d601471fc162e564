"""The example of docs/develop/phe.md runs as it stands, under a shorter key."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "develop" / "phe.md"


def test_the_example_runs(capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    code = "\n".join(blocks)
    assert code.count("n_length=3072") == 1
    exec(code.replace("n_length=3072", "n_length=1024"), {})
    assert abs(float(capsys.readouterr().out) - 1.6) <= 16**-5
