"""The base install: what works without the extras, and what names the one it needs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from federated.extras import EXTRAS, MissingExtra, needs
from tests.federated.provenance.small_bundle import small_bundle_bytes

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "federated"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {"yaml": "PyYAML", "sklearn": "scikit-learn"}
EXTRA_MODULES = {module for modules in EXTRAS.values() for module in modules}
PORTAL = {"web3", "eth_utils", "django", "celery", "rest_framework", "eth", "redis", "apps"}
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
assert not BLOCKED & {name.partition(".")[0] for name in sys.modules}
"""


def without_extras(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python code where no extra's package, and no other package of the portal, exists."""
    blocked = EXTRA_MODULES | PORTAL | {"scipy", "safetensors", "joblib", "pkg_resources"}
    program = f"BLOCKED = {sorted(blocked)!r}\nBLOCKED = set(BLOCKED)\n{BLOCK}\n{code}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return without_extras("from federated.command.main import main; main()", *arguments)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.json"
    path.write_bytes(small_bundle_bytes())
    return path


def test_the_base_verifies(bundle: Path) -> None:
    done = command("verify", bundle, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ok"]
    assert {check["status"] for check in report["checks"]} <= {"ok", "skipped"}


def test_the_base_replays(bundle: Path, tmp_path: Path) -> None:
    done = command("replay", bundle, "-o", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.safetensors").stat().st_size > 0


def test_the_base_makes_a_card(bundle: Path, tmp_path: Path) -> None:
    done = command("card", bundle, "-o", tmp_path / "card.html")
    assert done.returncode == 0, done.stderr
    assert "</html>" in (tmp_path / "card.html").read_text()


def test_the_base_signs_and_aggregates() -> None:
    done = without_extras(
        """
import numpy as np
from federated.crypto.paillier import PublicKey
from federated.crypto.signatures import generate_private_key
from federated.aggregation.packed import PackedAggregator
import federated.aggregation.masked, federated.aggregation.votes
import federated.protocol.kinds.training, federated.protocol.share, federated.protocol.release
import federated.site.agent, federated.site.ceremony, federated.site.join
import federated.site.work.round, federated.site.work.run, federated.site.work.campaign
import federated.sdk.client, federated.sdk.campaign, federated.simulation.run
from tests.federated.protocol.conftest import make_consortium
from tests.federated.provenance.small_bundle import small_record
record = small_record()
assert len(record.attempts) == 2 and record.attempts[-1].release.state
"""
    )
    assert done.returncode == 0, done.stderr


def modules_imported(tree: ast.AST) -> list[tuple[ast.stmt, str]]:
    found: list[tuple[ast.stmt, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node, alias.name.partition(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node, (node.module or "").partition(".")[0]))
    return found


def type_checking_only(tree: ast.AST) -> set[ast.stmt]:
    blocks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    ]
    return {child for block in blocks for child in ast.walk(block) if isinstance(child, ast.stmt)}


def guarded(tree: ast.AST) -> dict[ast.stmt, str]:
    """Imports inside ``with needs(extra)``, and which extra."""
    found: dict[ast.stmt, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.With):
            continue
        call = node.items[0].context_expr
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "needs":
            found |= {
                child: ast.literal_eval(call.args[0])
                for child in ast.walk(node)
                if isinstance(child, ast.stmt)
            }
    return found


def distribution(module: str) -> str:
    return DISTRIBUTIONS.get(module, module)


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", line)[0] for line in requirements}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_every_import_is_of_the_base_or_names_its_extra(path: Path) -> None:
    tree = ast.parse(path.read_text())
    typing_only, needed = type_checking_only(tree), guarded(tree)
    top = set(tree.body)
    base = {name.lower() for name in names_of(PROJECT["dependencies"])}
    for statement, module in modules_imported(tree):
        if module in sys.stdlib_module_names or module == "federated" or statement in typing_only:
            continue
        where = f"{path.name}:{statement.lineno}: {module}"
        if statement in needed:
            assert module in EXTRAS[needed[statement]], where
            assert statement not in top, where
        else:
            assert distribution(module).lower() in base, f"{where} is not of the base install"


def test_the_extras_are_those_of_the_project_file() -> None:
    optional = PROJECT["optional-dependencies"]
    for extra, modules in EXTRAS.items():
        assert names_of(optional[extra]) == {distribution(module) for module in modules}
    assert "federated-simulation-cloud[train,bench,portal]" in optional["dev"]


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("train", "from federated.training.model import load_model; load_model('model.pt')"),
        ("train", "from federated.training.data import load_table; load_table('rows.csv')"),
        ("train", "from federated.crypto.paillier import PublicKey; PublicKey.from_phe(None)"),
        ("train", "from federated.training.metrics import auc; auc([0, 1], [0, 1])"),
        ("bench", "from federated.measuring import machine_facts; machine_facts()"),
    ],
)
def test_a_name_that_needs_an_extra_says_how_to_get_it(extra: str, code: str) -> None:
    done = without_extras(
        "from federated.extras import MissingExtra\n"
        f"try:\n    {code}\nexcept MissingExtra as error:\n    print(error.code, error)"
    )
    line = f"run pip install 'federated-simulation-cloud[{extra}]'"
    assert done.stdout.startswith("extra_missing "), done.stderr
    assert done.stdout.strip().endswith(line)


def test_a_command_that_needs_an_extra_ends_in_one_line() -> None:
    done = command("bench", "run", "--", "true")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "federated: psutil is not installed: run pip install 'federated-simulation-cloud[bench]' "
        "[extra_missing]"
    ]


def test_only_the_extras_own_packages_are_called_missing() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"), needs("train"):
        raise ModuleNotFoundError("No module named 'no_such_dependency'", name="no_such_dependency")
    with pytest.raises(ImportError) as broken, needs("train"):
        raise ImportError("libtorch.so: cannot open shared object file", name="torch")
    assert not isinstance(broken.value, MissingExtra)
    with pytest.raises(MissingExtra), needs("train"):
        raise ModuleNotFoundError("No module named 'torch'", name="torch._C")
