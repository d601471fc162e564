"""The whole ``federated`` command: the site's side, and the simulation above it."""

from __future__ import annotations

from federated.command.card import card
from federated.command.evidence import evidence
from federated.command.root import main
from federated.command.simulate import simulate

__all__ = ["main"]

main.add_command(card)
main.add_command(evidence)
main.add_command(simulate)

if __name__ == "__main__":
    main()
