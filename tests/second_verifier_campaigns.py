"""A second verifier of campaigns, written from docs/audit/bundle.md.

It shares no code with the project. Statistics: ``tests/second_verifier_statistics.py``.
"""

from __future__ import annotations

import json
import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction

from tests.second_verifier import (
    SECTIONS,
    Challenges,
    Key,
    canonical,
    check_certificates,
    check_envelope,
    check_log,
    check_plaintexts,
    check_share,
    check_witnesses,
    decrypt,
    digest,
    envelope_digest,
    need,
    unb64,
)
from tests.second_verifier_statistics import statistics

U = 1 << 20
EXPIRED = "benchmarks:submissions:expired"


def points(metric: dict) -> list[float]:
    low, high = float(metric["lower"]), float(metric["upper"])
    steps = metric["grid"]["points"] - 1
    with localcontext(Context(prec=40)):
        a, b = Decimal(low), Decimal(high)
        if metric["grid"]["kind"] == "log":
            rate = (b / a).ln() / steps
            exact = [a * (rate * j).exp() for j in range(1, steps)]
        else:
            exact = [a + (b - a) * j / steps for j in range(1, steps)]
        return [low, *(float(f"{x:.12g}") for x in exact), high]


class Layout:
    """Slots (name, sensitivity, noise parameter), their widths, and the codewords."""

    def __init__(self, spec: dict, epoch: dict, metric: dict) -> None:
        gaussian = spec["noise"]["kind"] == "gaussian"
        self.honest = epoch["threshold"] - epoch["max_colluding"]
        self.weight = weight = 64 if gaussian else 1
        k, people = len(epoch["trustees"]), len(spec["participants"])
        self.slots: list[tuple[str, int, float]] = []
        self.widths: list[int] = []
        for name, sensitivity in (("histogram", weight), ("values", U), ("squares", U // 2)):
            part = metric["split"][name]
            if part == 0:
                continue
            if gaussian:
                sigma = sensitivity / math.sqrt(2 * part * self.honest)
                digits = 6 - math.ceil(math.log10(sigma))
                scale = math.ceil(sigma * 10.0**digits) / 10.0**digits
                tail = math.ceil(9 * scale * math.sqrt(k))
            else:
                scale = sensitivity / Fraction(part)
                tail = k * math.ceil(64 * scale)
            width = (2 * (people * sensitivity + tail)).bit_length()
            repeat = metric["grid"]["bins"] if name == "histogram" else 1
            self.slots += [(name, sensitivity, float(scale))] * repeat
            self.widths += [width] * repeat
        self.codewords = self._codewords(metric, weight)

    def _codewords(self, metric: dict, weight: int) -> list[int]:
        low, high = Fraction(metric["lower"]), Fraction(metric["upper"])
        grid, words = metric["grid"], []
        for j, x in enumerate(points(metric)):
            u = round((2 * Fraction(x) - low - high) / (high - low) * U)
            of = {"values": u, "squares": round(Fraction(u * u, U)) - U // 2}
            place = j * grid["bins"] // grid["points"]
            row = [
                of[name] if name in of else weight * (at == place)
                for at, (name, _, _) in enumerate(self.slots)
            ]
            words.append(self.pack(row))
        return words

    def pack(self, row: list[int]) -> int:
        return sum(v << sum(self.widths[:at]) for at, v in enumerate(row))

    def unpack(self, plain: int, n: int) -> list[int]:
        signed = plain - n if plain > n // 2 else plain
        signed += self.pack([1 << (w - 1) for w in self.widths])
        out = []
        for at, w in enumerate(self.widths):
            out.append((signed >> sum(self.widths[:at]) & ((1 << w) - 1)) - (1 << (w - 1)))
        return out

    def rho(self, bins: int) -> float:
        """zCDP of the metric's sums under Gaussian noise."""
        total = []
        for name, sensitivity, sigma in dict.fromkeys(self.slots):
            s = sensitivity / (sigma * math.sqrt(self.honest))
            ks = range(1, self.honest)
            tau = 10 * math.fsum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in ks)
            d = bins if name == "histogram" else 1
            total.append((s + tau * math.sqrt(d)) ** 2 / 2)
        return math.fsum(total)


def check_vote(key: Key, vote: dict, layout: Layout, context: str, who: str, position: int) -> int:
    c, words = key.element(vote["ciphertext"]), layout.codewords
    longest, proof = key.bits // 2 + 513, unb64(vote["proof"])
    lengths = ((2 * key.bits + 7) // 8, 32, (longest + 7) // 8)
    need(len(proof) == len(words) * sum(lengths), "a vote proof's length")
    columns, at = [], 0
    for length in lengths:
        columns.append(
            [int.from_bytes(proof[at + length * j :][:length], "big") for j in range(len(words))]
        )
        at += length * len(words)
    t = Challenges(b"campaign-vote")
    t.add("n", key.n)
    t.add("context", bytes.fromhex(context))
    t.add("organization", who)
    t.add("position", position)
    t.add("count", len(words))
    for p in words:
        t.add("plaintext", p % key.n)
    t.add("ciphertext", c)
    for a in columns[0]:
        t.add("commitment", a)
    x = int.from_bytes(t.draw_bytes("x", 32), "big")
    need(sum(columns[1]) % 2**256 == x, f"challenges of {who} do not add up")
    for p, a, e, w in zip(words, *columns, strict=True):
        need(0 < a < key.nn and math.gcd(a, key.n) == 1, "a commitment out of range")
        need(w.bit_length() <= longest, "an answer out of range")
        left = pow(key.h0, 2 * w, key.nn) * (1 + 2 * e * p % key.n * key.n) % key.nn
        right = a * a * pow(c, 2 * e, key.nn) % key.nn
        need(left == right, f"a vote of {who} is not proven")
    return c


def check_campaign(record: dict, named: set[str], expiries: set[tuple]) -> list[dict]:
    """The releases, once everything follows."""
    epoch, spec = record["key_epoch"], record["runs"][0]["spec"]
    key, spec_digest = Key(epoch), digest("campaign-spec", spec)
    need(digest("key-epoch", epoch) == spec["key_epoch"], "the spec pins another key epoch")
    keys = {p["organization"]: p["public_key"] for p in spec["participants"]}
    trustees = {t["organization"]: t for t in epoch["trustees"]}
    layouts = [Layout(spec, epoch, metric) for metric in spec["metrics"]]
    if spec["noise"]["kind"] == "laplace":
        given = math.fsum(math.fsum(m["split"].values()) for m in spec["metrics"])
        need(given <= spec["noise"]["epsilon"], "the split exceeds epsilon")
        rho = spec["noise"]["epsilon"] ** 2 / 2
    else:
        grids = [metric["grid"]["bins"] for metric in spec["metrics"]]
        parts = []
        for layout, bins in zip(layouts, grids, strict=True):
            parts.append(layout.rho(bins))
        rho = math.fsum(parts)
    cost = {"dataset": spec["dataset"], "unit": "organization", "rho": rho}
    seen, releases = set(), []
    for run in record["runs"]:
        need(run["spec"] == spec and run["context"]["run"] not in seen, "a run's spec or number")
        if run["expired"] is not None:
            needed = (spec["campaign_id"], run["context"]["run"])
            need(needed in expiries, "no event says that submissions expired")
        seen.add(run["context"]["run"])
        release = _check_run(run, spec_digest, cost, key, layouts, keys, trustees, named)
        releases += [release] if release else []
    for group, tag in (("verdicts", "verdict"), ("refusals", "refusal")):
        for signed in record[group]:
            name = signed["body"]["organization"]
            public = trustees[name]["public_key"] if name in trustees else keys[name]
            body = check_envelope(tag, signed, public)
            need(body.get("agrees", True), f"{name} disagrees")
    return releases


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-12)


def _same_cost(shown: dict, cost: dict) -> bool:
    return {**shown, "rho": 0} == {**cost, "rho": 0} and _close(shown["rho"], cost["rho"])


def _check_run(run, spec_digest, cost, key, layouts, keys, trustees, named) -> dict | None:
    spec, context = run["spec"], digest("campaign-context", run["context"])
    bound = {
        "campaign_id": spec["campaign_id"],
        "spec": spec_digest,
        "key_epoch": spec["key_epoch"],
    }
    need(run["context"].items() >= bound.items(), "a context of another campaign")
    need(1 <= run["context"]["run"] <= spec["runs"], "a run out of range")
    members, rows = {}, []
    for signed in run["submissions"]:
        name = signed["body"]["organization"]
        body = check_envelope("submission", signed, keys[name])
        need(body["context"] == context and name not in members, "a submission's context")
        need(len(body["votes"]) == len(layouts), "a vote a metric")
        rows.append(
            [
                check_vote(key, vote, layout, context, name, position)
                for position, (vote, layout) in enumerate(zip(body["votes"], layouts, strict=True))
            ]
        )
        members[name] = envelope_digest("submission", signed)
    expired = run["expired"]
    need(bool(members) == (expired is None), "submissions, or what is left of all of them")
    for left in expired["submissions"] if expired else ():
        name = left["organization"]
        need(name in keys and name not in members, "an expired submission's organization")
        members[name] = left["envelope"]
    need(len(members) >= spec["minimum_cohort"], "the cohort is below the minimum")
    approved = set()
    for signed in run["approvals"]:
        body = check_envelope("campaign-approval", signed, keys[signed["body"]["organization"]])
        need(body["spec"] == spec_digest and body["runs"] == spec["runs"], "an approval")
        need(body["campaign_id"] == spec["campaign_id"], "an approval of another campaign")
        need(_same_cost(body["cost"], cost), "approved cost")
        approved.add(body["organization"])
    need(set(members) <= approved, "a member did not approve")
    cohort = digest("submission-cohort", {"context": context, "members": members})
    release = run["release"]
    if release is None:
        return None
    charged = set()
    for signed in run["receipts"]:
        body = check_envelope("charge-receipt", signed, keys[signed["body"]["organization"]])
        need((body["context"], body["cohort"]) == (context, cohort), "a charge's cohort")
        need(_same_cost(body["cost"], cost), "a charge's cost")
        charged.add(body["organization"])
    need(charged == set(members), "not every member was charged")
    noise = {}
    for signed in run["noise"]:
        name = signed["body"]["organization"]
        body = check_envelope("trustee-noise", signed, trustees[name]["public_key"])
        need((body["context"], body["cohort"]) == (context, cohort), "noise of another cohort")
        need(body["index"] == trustees[name]["index"] and name not in noise, "a noise share twice")
        need(len(body["ciphertexts"]) == len(layouts), "noise a metric")
        rows.append(check_plaintexts(key, {**body, "context": cohort, "masked": None}))
        noise[name] = envelope_digest("trustee-noise", signed)
    need(not (expired and noise), "noise that is kept beside expired submissions")
    for left in expired["noise"] if expired else ():
        name = left["organization"]
        need(name in trustees and name not in noise, "expired noise of no trustee, or twice")
        noise[name] = left["envelope"]
    need(len(noise) >= key.epoch["threshold"], "too little noise")
    noised = digest("noised-cohort", {"context": context, "cohort": cohort, "noise": noise})
    product = [math.prod(column) % key.nn for column in zip(*rows, strict=True)]
    shares = {}
    for signed in run["shares"]:
        name = signed["body"]["organization"]
        body = check_envelope("decryption-share", signed, trustees[name]["public_key"])
        need((body["context"], body["cohort"]) == (context, noised), "a share's cohort")
        need(body["index"] == trustees[name]["index"], "a share's trustee")
        shares[body["index"]] = (
            [key.element(p) for p in body["partials"]]
            if expired
            else check_share(key, body, product, noised)
        )
    sums = [
        layout.unpack(plain, key.n)
        for layout, plain in zip(layouts, decrypt(key, shares), strict=True)
    ]
    need((release["context"], release["cohort"]) == (context, noised), "the release's cohort")
    need(release["count"] == len(members), "the release's count")
    need([m["slots"] for m in release["metrics"]] == sums, "the released sums")
    small = len(members) < 50
    need(all(m["illustrative"] == small for m in release["metrics"]), "illustrative or not")
    for metric, layout, shown in zip(spec["metrics"], layouts, release["metrics"], strict=True):
        xs, of = points(metric), (len(members), len(noise), layout.weight)
        _same_statistics(statistics(metric, xs, layout.slots, shown["slots"], *of), shown)
    wanted = [*members.values(), *noise.values(), digest("campaign-release", release)]
    for tag, group in (("charge-receipt", "receipts"), ("decryption-share", "shares")):
        wanted += [envelope_digest(tag, signed) for signed in run[group]]
    need(set(wanted) <= named, "a digest that no event names")
    return release


def _same_statistics(found: dict, shown: dict) -> None:
    need(set(found) == set(shown["statistics"]), f"the statistics of {shown['key']}")
    for name, three in shown["statistics"].items():
        for end, value in three.items():
            same = math.isclose(value, found[name][end], rel_tol=1e-6, abs_tol=1e-12)
            need(same, f"{shown['key']}: {name} {end} is {value}, not {found[name][end]}")


def verify(raw: bytes) -> list[dict]:
    """The releases of a bundle's campaigns. Raises Wrong, or what malformed content raises."""
    bundle = json.loads(raw)
    need(canonical(bundle) + b"\n" == raw, "the file is not canonical")
    named: set[str] = set()
    need(bundle["sections"].keys() <= SECTIONS, "an unknown section")
    check_certificates(bundle["sections"])
    events = [json.loads(e["canonical"]) for log in bundle["logs"] for e in log["events"]]
    expiries = {(e["subject"]["id"], e["data"]["run"]) for e in events if e["tag"] == EXPIRED}
    witnesses = check_witnesses(bundle["sections"])
    for log in bundle["logs"]:
        named |= check_log(log, witnesses)
    return [
        release
        for record in bundle["sections"]["campaigns"]
        for release in check_campaign(record, named, expiries)
    ]
