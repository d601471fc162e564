"""The ``federated`` command. Each subcommand's module is imported when it is called."""

from __future__ import annotations

import click

from federated.command.console import LazyGroup

COMMANDS = {
    "agent": (
        "federated.command.root:agent",
        "Work for the site until SIGTERM or Ctrl-C.",
    ),
    "bench": (
        "federated.command.bench:bench",
        "Measure a workload and compare it across organizations, privately.",
    ),
    "bundle": (
        "federated.command.root:bundle",
        "Download the bundle of JOB_ID, or of a campaign by its id: all to verify it by.",
    ),
    "card": (
        "federated.command.card:card",
        "Make the model card of BUNDLE's model: HTML to -o FILE, or JSON.",
    ),
    "ceremony": (
        "federated.command.key:ceremony",
        "Deal a threshold key to the roster's sites; nothing but sealed shares is written.",
    ),
    "compare": (
        "federated.command.root:compare",
        "Compare JOB_ID's model with one trained on this site's rows alone; sends nothing.",
    ),
    "curve": (
        "federated.command.root:curve",
        "Show a job's score on this site's held-out rows; it is nowhere else.",
    ),
    "data": (
        "federated.command.data:data",
        "Look at this site's own data; nothing of it is sent.",
    ),
    "evaluate": (
        "federated.command.root:evaluate",
        "Propose a joint evaluation of the model that JOB_ID released.",
    ),
    "evaluations": (
        "federated.command.root:evaluations",
        "Show the joint evaluations that this site verified: JOB_ID's model's, or JOB_ID itself.",
    ),
    "evidence": (
        "federated.command.evidence:evidence",
        "Show what the site at HOME cosigned and what it holds against a log; or check FILE.",
    ),
    "join": (
        "federated.command.root:join",
        "Join the consortium at URL and make the site's folder.",
    ),
    "key": (
        "federated.command.key:key",
        "The site's keys: what it accepted, holds a share of, and destroyed.",
    ),
    "ledger": (
        "federated.command.ledger:ledger",
        "Show the site's privacy ledger, or change what an account is allotted.",
    ),
    "replay": (
        "federated.command.root:replay",
        "Recompute BUNDLE's global model from its transcripts and write it as safetensors.",
    ),
    "roster": (
        "federated.command.key:roster",
        "Print the consortium's roster as JSON, for the key ceremony.",
    ),
    "simulate": (
        "federated.command.simulate:simulate",
        "Play the whole protocol in process with virtual sites, faults and cheats.",
    ),
    "verify": (
        "federated.command.root:verify",
        "Verify BUNDLE without trusting who exported it; exit 1 where a check fails.",
    ),
}
"""By name, where a command is and the first sentence of its help (a test holds them equal)."""


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="federated-simulation-cloud")
def main() -> None:
    """Train and compare across organizations; this is the site's side."""


if __name__ == "__main__":
    main()
