"""Under which software a model was made and replayed, for people."""

from __future__ import annotations

from rich.markup import escape

from federated.command.console import out
from federated.provenance.software import software_differences, software_here
from federated.verify.replay import Replayed
from federated.wire.reproducibility import Software


def software_print(done: Replayed) -> None:
    """Under what the model was made and replayed: the bits agree all the same, or replay raised."""
    here = software_here()
    if not done.made:
        out.print("made under: not recorded")
    for made in done.made:
        out.print(f"made under: {escape(_software(made))}")
    out.print(f"replayed under: {escape(_software(here))}")
    for made in done.made:
        for line in software_differences(made, here):
            out.print(f"  differs: {escape(line)}")
    out.print("[bold green]every bit agrees[/]")


def _software(one: Software) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(one.libraries.items()))
    return (
        f"federated {one.federated} (source {one.source[:16]}), {one.python}, {one.platform}; "
        f"{libraries}"
    )
