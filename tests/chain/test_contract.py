"""The shipped artifact is what the source compiles to."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_artifact_is_the_compiled_source(artifact):
    compiled = runpy.run_path(str(ROOT / "deploy/contracts/compile.py"))["artifact"]()
    assert compiled["bytecode_runtime"] == artifact["bytecode_runtime"]
    assert compiled == artifact


@pytest.mark.any_chain
def test_the_deployed_code_is_the_runtime_bytecode(chain, registry, artifact):
    assert chain.web3.eth.get_code(registry.address).to_0x_hex() == artifact["bytecode_runtime"]
