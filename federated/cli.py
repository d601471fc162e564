"""The whole ``federated`` command: the site's side, and the simulation above it."""

from __future__ import annotations

from federated.client.card_cli import card
from federated.client.cli import main
from federated.client.evidence_cli import evidence
from federated.simulation.command import simulate

__all__ = ["main"]

main.add_command(card)
main.add_command(evidence)
main.add_command(simulate)

if __name__ == "__main__":
    main()
