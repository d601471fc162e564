"""Compile AnchorRegistry.vy into the artifact that the portal ships.

Run from the repository's root: ``python deploy/contracts/compile.py``.
"""

import json
from pathlib import Path

from vyper.compiler import compile_code

SOURCE = Path(__file__).with_name("AnchorRegistry.vy")
ARTIFACT = Path(__file__).parents[2] / "apps/provenance/contracts/AnchorRegistry.json"


def artifact() -> dict[str, object]:
    """ABI, creation bytecode and runtime bytecode; deterministic for one compiler version."""
    compiled = compile_code(
        SOURCE.read_text(), output_formats=["abi", "bytecode", "bytecode_runtime"]
    )
    return {"contract": "AnchorRegistry", "compiler": "vyper 0.4.3", "evm": "london", **compiled}


if __name__ == "__main__":
    ARTIFACT.write_text(json.dumps(artifact(), indent=1) + "\n")
