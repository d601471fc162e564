"""What a model card rests on: digests, seeds, software, and the way to verify it."""

from __future__ import annotations

from typing import Any

from federated.card.document import Markup, bullets, cut, element, facts, table
from federated.card.document import section as part

ROUNDS_SHOWN = 50


def reproducibility_part(card: dict[str, Any]) -> Markup:
    rounds = card["rounds"]
    begun = {
        "zeros": "all parameters zero",
        "drawn": "drawn from the public seed that the model's digest is",
        "brought": "weights that the proposer brought",
    }
    return part(
        "Reproducibility",
        [_software(one) for one in card["software"]]
        or element("p", "By which software the rounds were released was not recorded."),
        facts(
            [
                ("Public seeds", _seeds(card["seeds"]["rounds"])),
                ("Initial state", begun[card["seeds"]["initial"]]),
                *(
                    (f"Digest: {name.replace('_', ' ')}", element("code", value))
                    for name, value in card["digests"].items()
                ),
            ]
        ),
        table(
            ["Round", "Organizations", "Record", "State"],
            [
                (
                    f"{one['round']}.{one['attempt']}",
                    str(len(one["members"])),
                    element("code", (one["reproducibility"] or "none")[:16]),
                    element("code", one["state"][:16]),
                )
                for one in rounds[-ROUNDS_SHOWN:]
            ],
            caption=cut(
                "Released rounds; digests by their beginnings", rounds, ROUNDS_SHOWN, "last"
            ),
        ),
    )


def verify_part(card: dict[str, Any]) -> Markup:
    verified = card.get("verification")
    commands = [
        f"federated bundle {card['job_id']} -o bundle.json --home SITE",
        "federated verify bundle.json --trust ca.pem --log-key KEY --rpc URL --contract ADDRESS",
        "federated replay bundle.json -o model",
        "federated card bundle.json -o card.html",
    ]
    return part(
        "How to verify",
        element(
            "p",
            "No word of this card or of the coordinator is needed. The first command is a "
            "participant's; the others need the bundle alone, and what you know from elsewhere: "
            "the consortium's certificate authority, the log's key, the chain's contract.",
        ),
        element("pre", "\n".join(commands), tabindex="0"),
        [
            facts(
                [
                    (f"Log {log['origin']}", f"{log['size']} events"),
                    ("Root", element("code", log["root"])),
                    ("Key", element("code", log["verifier_key"])),
                ]
            )
            for log in card.get("logs", [])
        ],
        [
            facts(
                [
                    ("Anchor", f"chain {one['chain_id']}, block {one['block']}"),
                    ("Root", element("code", one["root"])),
                    ("Contract", element("code", one["contract"])),
                    ("Transaction", element("code", one["transaction"])),
                ]
            )
            for one in card.get("anchors", [])[-1:]
        ],
        [
            element("h3", "Checks that could not be made"),
            bullets(f"{one['name']}: {one['detail']}" for one in verified["skipped"]),
        ]
        if verified and verified["skipped"]
        else None,
    )


def _software(one: dict[str, Any]) -> Markup:
    libraries = ", ".join(f"{name} {version}" for name, version in one["libraries"].items())
    return facts(
        [
            (
                f"Rounds {one['first_round']} to {one['last_round']}",
                f"federated {one['federated']}, {one['python']}, {one['platform']}",
            ),
            ("Libraries", libraries),
            ("Source", element("code", one["source"])),
        ]
    )


def _seeds(rounds: list[dict[str, Any]]) -> str | None:
    if not rounds:
        return None
    kinds = []
    if any(one["mask"] for one in rounds):
        kinds.append("one of the masks' public vector a round")
    if any(one["minibatches"] for one in rounds):
        kinds.append("one of the order of rows a round and organization")
    return f"{'; '.join(kinds)}: all are in the JSON"
