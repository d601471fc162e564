"""A second verifier of bundles, written from docs/audit/bundle.md.

It needs the standard library and cryptography alone and shares no code with the project. Run it as
``python tests/second_verifier.py FILE [VECTORS]``: it prints what is wrong and exits 1, or prints
nothing and exits 0. VECTORS is the folder of a masked job's vectors; such a job needs it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

PREFIX = "federated-simulation-cloud/v1"
SECTIONS = {"jobs", "campaigns", "certificates", "witnesses"}
EXPIRED = "federation:contributions:expired"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Wrong(Exception):
    """What the bundle claims and what follows from it differ."""


def need(condition: Any, message: str) -> None:
    if not condition:
        raise Wrong(message)


# RFC 8785


def number(value: float) -> str:
    """ECMAScript's text of a double, from the shortest digits that round-trip."""
    need(math.isfinite(value), "a number is not finite")
    if value == 0:
        return "0"
    sign, digits = ("-" if value < 0 else ""), repr(abs(value))
    mantissa, _, exponent = digits.partition("e")
    whole, _, part = mantissa.partition(".")
    part = "" if part == "0" and not exponent else part
    point = len(whole) + int(exponent or 0)
    text = (whole + part).rstrip("0") if not part else whole + part
    stripped = text.lstrip("0")
    point -= len(text) - len(stripped)
    text = stripped.rstrip("0") or "0"
    size = len(text)
    if size <= point <= 21:
        return sign + text + "0" * (point - size)
    if 0 < point <= 21:
        return f"{sign}{text[:point]}.{text[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{text}"
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + text[0] + (f".{text[1:]}" if size > 1 else "") + power


def jcs(value: Any) -> str:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{jcs(key)}:{jcs(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    if isinstance(value, float):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def canonical(value: Any) -> bytes:
    return jcs(value).encode()


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def unb64(text: str) -> bytes:
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text, "not canonical base64url")
    return data


# Messages


def digest(tag: str, body: dict) -> str:
    return sha(f"{PREFIX}/{tag}".encode(), b"\0", canonical(body)).hex()


def envelope_digest(tag: str, signed: dict) -> str:
    return digest(f"{tag}/signed", signed)


def check_envelope(tag: str, signed: dict, public_key: str) -> dict:
    der = unb64(public_key)
    need(signed["signer"] == sha(der).hex(), f"{tag}: signed by another key")
    raw = unb64(signed["signature"])
    need(len(raw) == 64, f"{tag}: a signature has 64 bytes")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    need(0 < r < ORDER and 0 < s <= ORDER // 2, f"{tag}: signature out of range")
    signed_bytes = f"{PREFIX}\0{PREFIX}/{tag}\0".encode() + canonical(signed["body"])
    key: Any = load_der_public_key(der)
    try:
        key.verify(encode_dss_signature(r, s), signed_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Wrong(f"{tag}: signature does not verify") from None
    body: dict = signed["body"]
    return body


# Logs


def root_from(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.3.2."""
    need(0 <= index < size, "leaf out of range")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        need(sn, "inclusion proof too long")
        if fn & 1 or fn == sn:
            r = sha(b"\1", p, r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha(b"\1", r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "inclusion proof too short")
    return r


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: list) -> None:
    """RFC 9162, section 2.1.4.2."""
    need(0 < old <= new, "a log shrinks")
    if old == new:
        need(not proof and old_root == new_root, "two heads of one size")
        return
    path = [bytes.fromhex(p) for p in proof]
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    need(path, "consistency proof too short")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        need(sn, "consistency proof too long")
        if fn & 1 or fn == sn:
            fr, sr = sha(b"\1", c, fr), sha(b"\1", c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = sha(b"\1", sr, c)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and fr == old_root and sr == new_root, "a log does not extend itself")


def check_note(
    note: str, verifier_key: str, origin: str, witnesses: dict[str, str]
) -> tuple[int, bytes, set[str]]:
    """Size, root and cosigning organizations; `witnesses` are vkeys by organization."""
    name, key_id, encoded = verifier_key.split("+", 2)
    blob = base64.b64decode(encoded, validate=True)
    need(len(blob) == 33 and blob[:1] == b"\1", "not an Ed25519 verifier key")
    need(sha(name.encode(), b"\n", blob).hex()[:8] == key_id, "verifier key id")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    mine, cosigners = 0, set()
    for line in signatures.rstrip("\n").split("\n"):
        dash, signer, encoded = line.split(" ")
        need(dash == "—", "a signature line starts with a dash")
        blob2 = base64.b64decode(encoded, validate=True)
        cosigner = next((w for w, v in witnesses.items() if is_key(v, signer, blob2[:4])), None)
        need(cosigner or (signer == name and blob2[:4].hex() == key_id), "signed by a stranger")
        if cosigner:
            check_cosignature(witnesses[cosigner], blob2, text)
            cosigners.add(cosigner)
        else:
            try:
                ed25519.Ed25519PublicKey.from_public_bytes(blob[1:]).verify(
                    blob2[4:], text.encode()
                )
            except InvalidSignature:
                raise Wrong("a checkpoint's signature does not verify") from None
            mine += 1
    need(mine, "a checkpoint is not signed by its log")
    lines = text.split("\n")
    need(lines[0] == origin == name, "a checkpoint of another log")
    return int(lines[1]), base64.b64decode(lines[2], validate=True), cosigners


def is_key(vkey: str, name: str, key_id: bytes) -> bool:
    return vkey.split("+", 2)[:2] == [name, key_id.hex()]


def check_cosignature(vkey: str, blob: bytes, text: str) -> None:
    """C2SP cosignature/v1: key id, time in 8 bytes, Ed25519 over header, time and text."""
    name, key_id, encoded = vkey.split("+", 2)
    key = base64.b64decode(encoded, validate=True)
    need(len(key) == 33 and key[:1] == b"\4", "not a witness key")
    need(sha(name.encode(), b"\n", key).hex()[:8] == key_id, "witness key id")
    time = int.from_bytes(blob[4:12], "big")
    message = f"cosignature/v1\ntime {time}\n{text}".encode()
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key[1:]).verify(blob[12:], message)
    except InvalidSignature:
        raise Wrong("a cosignature does not verify") from None


def check_witnesses(sections: dict) -> dict[str, str]:
    """Each witness's vkey, bound by the site key that a spec pins."""
    specs = [record["attempts"][0]["spec"]["body"] for record in sections.get("jobs", [])]
    specs += [record["runs"][0]["spec"] for record in sections.get("campaigns", [])]
    pinned = {
        participant["organization"]: participant["public_key"]
        for spec in specs
        for participant in spec["participants"]
    }
    found = {}
    for signed in sections.get("witnesses", []):
        name = signed["body"]["organization"]
        body = check_envelope("witness-key", signed, pinned[name])
        need(
            body["key"].split("+")[0] == f"{body['consortium']}/{name}/witness",
            "a witness key of another name",
        )
        need(name not in found, "a witness twice")
        found[name] = body["key"]
    return found


def check_certificates(sections: dict) -> None:
    """Each names the organization whose key it holds; who issued it is not looked at here."""
    pinned = {}
    for record in [*sections.get("jobs", []), *sections.get("campaigns", [])]:
        first = (
            record["attempts"][0]["spec"]["body"]
            if "attempts" in record
            else record["runs"][0]["spec"]
        )
        for one in [*first["participants"], *record["key_epoch"]["trustees"]]:
            pinned[unb64(one["public_key"])] = one["organization"]
    listed = sections.get("certificates", [])
    need(len(set(listed)) == len(listed), "a certificate twice")
    for item in listed:
        certificate = x509.load_der_x509_certificate(unb64(item))
        spki = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        urn = f"urn:federated:organization:{pinned[spki]}"
        need([name.value for name in names] == [urn], "a certificate of another organization")


def final_size(log: dict, witnesses: dict[str, str], seats: int) -> int:
    """The size that more than half of the witnesses have cosigned or gone beyond; 0 for none."""
    newest: dict[str, int] = {}
    for note in log["checkpoints"]:
        size, _, cosigners = check_note(note, log["verifier_key"], log["origin"], witnesses)
        newest |= {name: max(size, newest.get(name, 0)) for name in cosigners}
    needed = seats // 2 + 1
    sizes = sorted(newest.values(), reverse=True)
    return sizes[needed - 1] if len(sizes) >= needed else 0


def check_log(log: dict, witnesses: dict[str, str]) -> set[str]:
    """The digests that the log's events name."""
    heads = [
        check_note(n, log["verifier_key"], log["origin"], witnesses)[:2] for n in log["checkpoints"]
    ]
    need(len(log["consistency"]) == len(heads) - 1, "one consistency proof a step")
    for (old, old_root), (new, new_root), proof in zip(
        heads, heads[1:], log["consistency"], strict=False
    ):
        check_consistency(old, new, old_root, new_root, proof)
    size, root = heads[-1]
    named, places = set(), set()
    for item in log["events"]:
        data = item["canonical"].encode()
        leaf = sha(b"\0", data)
        what = f"event {item['index']} of {log['origin']}"
        proof = [bytes.fromhex(p) for p in item["proof"]]
        need(root_from(leaf, item["index"], size, proof) == root, f"{what} was edited")
        need(leaf.hex() == item["leaf_hash"], f"{what}: recorded leaf hash")
        event = json.loads(data)
        need(canonical(event) == data, f"{what} is not canonical")
        need(event["id"] == item["id"] and event["origin"] == log["origin"], f"{what}: id")
        need(item["index"] not in places, f"{what} twice")
        places.add(item["index"])
        if (row := item["row"]) is not None:
            subject = event["subject"]
            logged = (event["tag"], event["actor"], subject["kind"], subject["id"], event["at"])
            shown = (row["tag"], row["actor"], row["subject_kind"], row["subject_id"], row["at"])
            need(logged == shown, f"{what}: its row was edited")
        named |= {*event["digests"].values(), event["signature"]}
    return named


def check_anchor(anchor: dict, logs: dict[str, dict]) -> None:
    hashes_ = [sha(b"\0", note.encode()) for note in anchor["notes"]]

    def mth(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return part[0]
        k = 1 << (len(part) - 1).bit_length() - 1
        return sha(b"\1", mth(part[:k]), mth(part[k:]))

    need(mth(hashes_).hex() == anchor["root"], "an anchor's notes do not lead to its root")
    origins = [note.split("\n")[0] for note in anchor["notes"]]
    need(origins == sorted(set(origins)), "an anchor's notes are not ordered")
    need(all(f"{o}/".startswith(anchor["origin"] + "/") for o in origins), "an anchor's origin")
    sizes = sum(int(note.split("\n")[1]) for note in anchor["notes"])
    need(sizes == anchor["size"], "an anchor's size")
    known = [(o, n) for o, n in zip(origins, anchor["notes"], strict=True) if o in logs]
    need(known, "an anchor covers none of the logs")
    for o, n in known:
        ours = any(note.startswith(n) for note in logs[o]["checkpoints"])
        need(ours, "an anchored note is not the log's")


# Proofs


class Challenges:
    def __init__(self, domain: bytes) -> None:
        self.state = hashlib.shake_256(self.framed(PREFIX.encode()) + self.framed(domain))

    @staticmethod
    def framed(data: bytes) -> bytes:
        return len(data).to_bytes(8, "big") + data

    def add(self, label: str, value: bytes | str | int) -> None:
        if isinstance(value, bytes):
            kind, data = b"b", value
        elif isinstance(value, str):
            kind, data = b"s", value.encode()
        else:
            kind, data = b"i", value.to_bytes((value.bit_length() + 7) // 8, "big")
        self.state.update(b"a" + self.framed(label.encode()) + kind + self.framed(data))

    def draw_bytes(self, label: str, length: int) -> bytes:
        self.state.update(b"c" + self.framed(label.encode()) + length.to_bytes(8, "big"))
        return self.state.copy().digest(length)

    def draw(self, label: str) -> int:
        return int.from_bytes(self.draw_bytes(label, 16), "big")


class Key:
    """The public side of a key epoch."""

    def __init__(self, epoch: dict) -> None:
        self.epoch, self.n = epoch, int.from_bytes(unb64(epoch["modulus"]), "big")
        self.nn, self.bits = self.n * self.n, self.n.bit_length()
        self.v = int.from_bytes(unb64(epoch["verification_base"]), "big")
        trustees = epoch["trustees"]
        self.v_i = [int.from_bytes(unb64(t["verification_key"]), "big") for t in trustees]
        self.delta = math.factorial(len(trustees))
        length = (self.bits + 7) // 8
        seed = f"{PREFIX}\0paillier-h0\0".encode() + self.n.to_bytes(length, "big")
        x = int.from_bytes(hashlib.shake_256(seed).digest(length + 16), "big") % self.n
        self.h0 = pow(x * x % self.n, self.n, self.nn)

    def element(self, text: str) -> int:
        data = unb64(text)
        need(len(data) == (2 * self.bits + 7) // 8, "a ciphertext's length")
        value = int.from_bytes(data, "big")
        need(0 < value < self.nn and math.gcd(value, self.n) == 1, "a ciphertext out of range")
        return value

    def fingerprint(self) -> str:
        state = hashlib.sha256(f"{PREFIX}\0threshold-verification-keys\0".encode())
        quorum = (self.epoch["threshold"], len(self.v_i), self.epoch["max_colluding"])
        for value in (*quorum, self.n, self.v, *self.v_i):
            data = value.to_bytes((value.bit_length() + 7) // 8, "big")
            state.update(len(data).to_bytes(8, "big") + data)
        return state.hexdigest()


def check_plaintexts(key: Key, body: dict) -> list[int]:
    cs = [key.element(c) for c in body["ciphertexts"]]
    proof, at, size = unb64(body["proof"]), (2 * key.bits + 7) // 8, (key.bits + 7) // 8
    need(len(proof) == at + size + (key.bits // 2 + 256 + 8) // 8, "a proof's length")
    a, z_m, z_e = (
        int.from_bytes(part, "big")
        for part in (proof[:at], proof[at : at + size], proof[at + size :])
    )
    need(z_m < key.n and z_e.bit_length() <= key.bits // 2 + 257, "a proof out of range")
    t = Challenges(b"paillier-plaintexts-knowledge")
    t.add("n", key.n)
    t.add("context", bytes.fromhex(body["context"] + (body["masked"] or "")))
    t.add("organization", body["organization"])
    t.add("count", len(cs))
    for position, c in enumerate(cs):
        t.add("position", position)
        t.add("ciphertext", c)
    t.add("commitment", a)
    right = a
    for c in cs:
        right = right * pow(c, t.draw("x"), key.nn) % key.nn
    left = (1 + z_m * key.n) * pow(key.h0, z_e, key.nn) % key.nn
    need(left == right, f"proof of {body['organization']} does not hold")
    return cs


def check_share(key: Key, body: dict, product: list[int], cohort: str) -> list[int]:
    answers = [key.element(p) for p in body["partials"]]
    need(len(answers) == len(product), "one partial decryption a ciphertext")
    proof, v_i = unb64(body["proof"]), key.v_i[body["index"] - 1]
    bits = 2 * key.bits + key.delta.bit_length() + 257
    need(len(proof) == 16 + (bits + 7) // 8, "a share proof's length")
    x, z = int.from_bytes(proof[:16], "big"), int.from_bytes(proof[16:], "big")
    need(z.bit_length() <= bits, "a share proof out of range")
    t = Challenges(b"threshold-partial-decryption")
    t.add("verification", key.fingerprint())
    t.add("trustee", body["index"])
    t.add("context", bytes.fromhex(cohort))
    t.add("count", len(product))
    for c, p in zip(product, answers, strict=True):
        t.add("ciphertext", c)
        t.add("partial", p)
    fold = [1] + [t.draw("fold") for _ in product[1:]]
    base = answer = 1
    for c, p, f in zip(product, answers, fold, strict=True):
        base = base * pow(c, 4 * f, key.nn) % key.nn
        answer = answer * pow(p, 2 * f, key.nn) % key.nn
    t.add("a", pow(key.v, z, key.nn) * pow(v_i, -x, key.nn) % key.nn)
    t.add("b", pow(base, z, key.nn) * pow(answer, -x, key.nn) % key.nn)
    need(t.draw("x") == x, f"share of {body['organization']} is not proven")
    return answers


def decrypt(key: Key, shares: dict[int, list[int]]) -> list[int]:
    threshold = key.epoch["threshold"]
    need(len(shares) >= threshold, "too few shares")
    chosen = sorted(shares)[:threshold]
    plain = []
    for column in zip(*(shares[i] for i in chosen), strict=True):
        product = 1
        for i, value in zip(chosen, column, strict=True):
            lagrange = Fraction(key.delta)
            for j in chosen:
                lagrange *= Fraction(-j, i - j) if j != i else 1
            product = product * pow(value, 2 * int(lagrange), key.nn) % key.nn
        need(product % key.n == 1, "shares do not fit together")
        plain.append((product - 1) // key.n * pow(4 * key.delta**2, -1, key.n) % key.n)
    return plain


# Jobs


def slot_bits(spec: dict) -> int:
    n, privacy = len(spec["participants"]), spec["privacy"]
    vectors = 1 if privacy["unit"] == "organization" else spec["data"]["max_records"]
    clamp = vectors * privacy["units"]
    return (2 * (n * clamp + math.ceil(9 * privacy["noise_sigma"] * math.sqrt(n)))).bit_length()


def unpack(key: Key, plain: list[int], count: int, w: int) -> list[int]:
    slots, values = (key.bits - 2) // w, []
    need(len(plain) == -(-count // slots), "the number of plaintexts")
    for m in plain:
        signed = m - key.n if m > key.n // 2 else m
        here = min(slots, count - len(values))
        signed += sum(1 << (w * j + w - 1) for j in range(here))
        values += [((signed >> (w * j)) & ((1 << w) - 1)) - (1 << (w - 1)) for j in range(here)]
    return values


DEGREE, WORD = 4096, 1 << 64


def negacyclic(a: list[int], s: list[int]) -> list[int]:
    """a s modulo X^4096 + 1 and 2^64: one product of integers, with room for every coefficient."""
    size = 18

    def joined(values: list[int]) -> int:
        return int.from_bytes(b"".join(v.to_bytes(size, "little") for v in values), "little")

    data = (joined(a) * joined(s)).to_bytes(2 * DEGREE * size, "little")
    c = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    return [(low - high) % WORD for low, high in zip(c[:DEGREE], c[DEGREE:], strict=True)]


def masked_sum(spec: dict, attempt: dict, folder: Path) -> list[int]:
    """The members' vectors, added up modulo 2^64."""
    count = -(-dimension(spec) // (2 if slot_bits(spec) <= 26 else 1))
    total = [0] * count
    for signed in attempt["contributions"]:
        masked = signed["body"]["masked"]
        data = (folder / f"{masked}.vector").read_bytes()
        need(sha(data).hex() == masked and len(data) == 8 * count, "a masked vector's bytes")
        total = [(t + w) % WORD for t, w in zip(total, struct.unpack(f"<{count}Q", data))]
    return total


def unmask(spec: dict, attempt: dict, context: str, s: list[int], total: list[int]) -> list[int]:
    limit = 64 * len(attempt["contributions"])
    need(all(-limit <= value <= limit for value in s), "the sum of the mask keys is out of range")
    t = Challenges(b"rlwe-mask")
    t.add("context", bytes.fromhex(context))
    cipher = Cipher(algorithms.AES256(t.draw_bytes("a", 32)), modes.CTR(bytes(16)))
    stream, key, values = cipher.encryptor(), [value % WORD for value in s], []
    w = 26 if slot_bits(spec) <= 26 else 52
    for at in range(0, len(total), DEGREE):
        a = list(struct.unpack(f"<{DEGREE}Q", stream.update(bytes(8 * DEGREE))))
        for word, mask in zip(total[at : at + DEGREE], negacyclic(a, key)):
            rest = ((word - mask + (1 << 11)) % WORD) >> 12
            rest += sum(1 << (low + w - 1) for low in range(0, 52, w))
            values += [((rest >> low) & ((1 << w) - 1)) - (1 << (w - 1)) for low in range(0, 52, w)]
    return values[: dimension(spec)]


def parameters(spec: dict) -> int:
    count = 0
    for layer in spec["model"]["layers"]:
        if layer["kind"] == "linear":
            count += layer["out_features"] * (layer["in_features"] + 1)
        elif layer["kind"] == "conv2d":
            window = layer["in_channels"] * layer["kernel"][0] * layer["kernel"][1]
            count += layer["out_channels"] * (window + 1)
    return count


def dimension(spec: dict) -> int:
    """Of a contribution: a model's parameters, or the cells of an evaluation's table."""
    strategy, target = spec["strategy"], spec["data"]["target"]
    if strategy["kind"] != "evaluation":
        return parameters(spec)
    rows = {"binary": 2, "regression": 1}.get(target["kind"]) or len(target["classes"])
    return rows * strategy["bins"]


def rounds_of(spec: dict) -> int:
    return 1 if spec["strategy"]["kind"] == "evaluation" else spec["strategy"]["rounds"]


def rho(spec: dict, honest: int) -> float:
    privacy = spec["privacy"]
    sigma = privacy["noise_sigma"]
    scaled = float(privacy["units"]) / (sigma * math.sqrt(honest))
    tau = 10 * math.fsum(
        math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, honest)
    )
    return float((scaled + tau * math.sqrt(dimension(spec))) ** 2 / 2)


MOMENTS = {"sgd": (), "momentum": ("velocity",), "adam": ("first_moment", "second_moment")}


class State:
    def __init__(self, data: bytes) -> None:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        body = data[8 + int.from_bytes(data[:8], "little") :]
        count = header["parameters"]["shape"][0]
        (self.step,) = struct.unpack_from("<q", body, header.pop("step")["data_offsets"][0])
        self.vectors = {
            name: list(struct.unpack_from(f"<{count}d", body, entry["data_offsets"][0]))
            for name, entry in header.items()
        }
        need(set(header) >= {"average", "parameters"}, "a server state of other vectors")
        need(self.to_bytes() == data, "a server state in another layout")

    @property
    def average(self) -> list[float]:
        return self.vectors["average"]

    @property
    def parameters(self) -> list[float]:
        return self.vectors["parameters"]

    def to_bytes(self) -> bytes:
        at, header, body = 0, {}, b""
        for name in sorted([*self.vectors, "step"]):
            values = [self.step] if name == "step" else self.vectors[name]
            kind, code = ("I64", "q") if name == "step" else ("F64", "d")
            ends = [at, at + 8 * len(values)]
            header[name] = {"data_offsets": ends, "dtype": kind, "shape": [len(values)]}
            body += struct.pack(f"<{len(values)}{code}", *values)
            at = ends[1]
        text = canonical(header)
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + body

    def digest(self) -> str:
        return sha(self.to_bytes()).hex()

    def advance(self, values: list[int], spec: dict) -> None:
        privacy, optimizer = spec["privacy"], spec["strategy"]["server_optimizer"]
        grid = privacy["clipping_norm"] / privacy["units"]
        divisor = spec["data"]["nominal_records"]
        if privacy["unit"] == "organization":
            divisor = len(spec["participants"])
        names, v = MOMENTS[optimizer["kind"]], self.vectors
        if self.step == 0:
            tau = optimizer.get("tau", 0)
            starts = {"velocity": 0.0, "first_moment": 0.0, "second_moment": float(tau * tau)}
            v |= {name: [starts[name]] * len(values) for name in names}
        need(set(v) == {"average", "parameters", *names}, "moments of another optimizer")
        self.step += 1
        late = self.step - spec["strategy"]["average_from"]
        for j, value in enumerate(values):
            gradient = (float(value) * grid) / float(divisor)
            v["parameters"][j] -= self.move(optimizer, j, gradient)
            if late > 0:
                v["average"][j] += (v["parameters"][j] - v["average"][j]) / float(late)
            else:
                v["average"][j] = v["parameters"][j]

    def move(self, optimizer: dict, j: int, gradient: float) -> float:
        rate, v = optimizer["learning_rate"], self.vectors
        if optimizer["kind"] == "sgd":
            return gradient * rate
        if optimizer["kind"] == "momentum":
            v["velocity"][j] = v["velocity"][j] * optimizer["momentum"] + gradient
            return v["velocity"][j] * rate
        first, second = optimizer["beta1"], optimizer["beta2"]
        v["first_moment"][j] = v["first_moment"][j] * first + gradient * (1 - first)
        squared = (gradient * gradient) * (1 - second)
        v["second_moment"][j] = v["second_moment"][j] * second + squared
        return (v["first_moment"][j] * rate) / (math.sqrt(v["second_moment"][j]) + optimizer["tau"])


def check_job(
    record: dict,
    named: set[str],
    recorded: dict[str, str],
    expiries: set[str],
    vectors: Path | None,
) -> State:
    epoch, key = record["key_epoch"], Key(record["key_epoch"])
    spec = record["attempts"][0]["spec"]["body"]
    need(vectors or record["initial_state"] is not None, "a large state needs the folder beside")
    state = State(
        (vectors / f"{spec['initial_state']}.state").read_bytes()
        if record["initial_state"] is None
        else unb64(record["initial_state"])
    )
    masked = spec["aggregation"] == "masked"
    need(vectors or not masked, "a masked job needs the folder of its vectors")
    need(digest("key-epoch", epoch) == spec["key_epoch"], "the spec pins another key epoch")
    need(state.digest() == spec["initial_state"], "the spec pins another initial state")
    keys = {p["organization"]: p["public_key"] for p in spec["participants"]}
    made = list(record.get("reproducibility", []))
    for attempt in record["attempts"]:
        before = state.digest()
        check_attempt(attempt, spec, key, keys, state, named, expiries, vectors)
        if attempt["release"] is not None:
            check_reproducibility(made, attempt, spec, before, recorded)
    need(not made, "a reproducibility record of no release")
    for group, tag in (("verdicts", "verdict"), ("refusals", "refusal"), ("declines", "decline")):
        for signed in record[group]:
            body = check_envelope(tag, signed, keys[signed["body"]["organization"]])
            need(body.get("agrees", True), f"{body['organization']} disagrees")
    return state


def check_reproducibility(
    made: list[dict], attempt: dict, spec: dict, before: str, recorded: dict[str, str]
) -> None:
    release = digest("release", attempt["release"])
    logged = recorded.get(release)
    if not made or made[0]["release"] != release:
        need(logged is None, "a reproducibility record that was logged is not given")
        return
    record = made.pop(0)
    need(digest("reproducibility-record", record) == logged, "another record was logged")
    context, shown = digest("round-context", attempt["context"]), attempt["contributions"]
    members = {s["body"]["organization"]: envelope_digest("contribution", s) for s in shown}
    members |= {left["organization"]: left["envelope"] for left in attempt["expired"]}
    challenges = Challenges(b"rlwe-mask")
    challenges.add("context", bytes.fromhex(context))
    local = spec["strategy"]["kind"] in ("fedavg", "fedprox")
    expected = {
        "version": 1,
        "job_id": spec["job_id"],
        "round": attempt["context"]["round"],
        "attempt": attempt["context"]["attempt"],
        "software": record["software"],
        "inputs": {
            "spec": digest("job-spec", spec),
            "dictionary": digest("data-dictionary", spec["data"]),
            "model": digest("model-spec", spec["model"]),
            "key_epoch": spec["key_epoch"],
            "initial_state": spec["initial_state"],
            "state": before,
            "context": context,
            "cohort": digest("cohort", {"context": context, "members": members}),
            "contributions": members,
        },
        "seeds": {
            "mask": challenges.draw_bytes("a", 32).hex()
            if spec["aggregation"] == "masked"
            else None,
            "minibatches": {
                name: sha(f"minibatches/{context}/{name}".encode()).hex()
                for name in (members if local else ())
            },
        },
        "release": release,
        "state": attempt["release"]["state"],
    }
    need(record == expected, "a reproducibility record is not the transcript's")


def check_attempt(
    attempt: dict,
    spec: dict,
    key: Key,
    keys: dict[str, str],
    state: State,
    named: set[str],
    expiries: set[str],
    vectors: Path | None,
) -> None:
    shown = check_envelope("job-spec", attempt["spec"], keys[spec["proposer"]])
    need(shown == spec, "two specs in one job")
    spec_digest, context = digest("job-spec", spec), digest("round-context", attempt["context"])
    bound = {"job_id": spec["job_id"], "spec": spec_digest, "key_epoch": spec["key_epoch"]}
    need(attempt["context"].items() >= bound.items(), "a context of another job")
    once = rho(spec, spec["minimum_cohort"] - spec["privacy"]["colluding"])
    rounds = rounds_of(spec)
    for signed in attempt["approvals"]:
        body = check_envelope("approval", signed, keys[signed["body"]["organization"]])
        need(body["spec"] == spec_digest and body["job_id"] == spec["job_id"], "an approval")
        need(body["cost"]["rho"] == once * rounds and body["rounds"] == rounds, "approved cost")
    need({s["body"]["organization"] for s in attempt["approvals"]} == set(keys), "approvals")

    members, rows = {}, []
    for signed in attempt["contributions"]:
        name = signed["body"]["organization"]
        body = check_envelope("contribution", signed, keys[name])
        need(body["context"] == context and name not in members, "a contribution's context")
        masks = body["masked"] is not None
        need(masks == (spec["aggregation"] == "masked"), "a contribution of another kind")
        rows.append(check_plaintexts(key, body))
        members[name] = envelope_digest("contribution", signed)
    expired = attempt["expired"]
    need(bool(rows) != bool(expired), "contributions, or what is left of all of them")
    for left in expired:
        need(spec["job_id"] in expiries, "no event says that contributions expired")
        name = left["organization"]
        need(name in keys and name not in members, "an expired contribution's organization")
        members[name] = left["envelope"]
    least, most = spec["minimum_cohort"], len(spec["participants"])
    asked = attempt["context"].get("minimum_cohort")
    need(asked is None or least < asked <= most, "a context's minimum cohort")
    need(len(members) >= (asked or least), "the cohort is below the minimum")
    cohort = digest("cohort", {"context": context, "members": members})
    release = attempt["release"]
    if release is None:
        return
    charged = set()
    for signed in attempt["receipts"]:
        body = check_envelope("charge-receipt", signed, keys[signed["body"]["organization"]])
        need((body["context"], body["cohort"]) == (context, cohort), "a charge's cohort")
        need(body["cost"]["rho"] == once, "a charge's rho")
        account = (body["cost"]["dataset"], body["cost"]["unit"])
        need(account == (spec["data"]["dataset"], spec["privacy"]["unit"]), "a charge's account")
        charged.add(body["organization"])
    need(charged == set(members), "not every member was charged")

    need(attempt["context"]["model"] == state.digest(), "a round starts from another state")
    product = [math.prod(column) % key.nn for column in zip(*rows, strict=True)]
    trustees = {t["organization"]: t for t in key.epoch["trustees"]}
    shares = {}
    for signed in attempt["shares"]:
        trustee = trustees[signed["body"]["organization"]]
        body = check_envelope("decryption-share", signed, trustee["public_key"])
        need((body["context"], body["cohort"]) == (context, cohort), "a share's cohort")
        need(body["index"] == trustee["index"], "a share's trustee")
        shares[body["index"]] = (
            [key.element(p) for p in body["partials"]]
            if expired
            else check_share(key, body, product, cohort)
        )
    plain, shown = decrypt(key, shares), {"values": [], "sum": None}
    if spec["aggregation"] == "masked" and vectors:
        s = unpack(key, plain, DEGREE, (2 * 64 * len(spec["participants"])).bit_length())
        values = unmask(spec, attempt, context, s, masked_sum(spec, attempt, vectors))
        shown["sum"] = sha(struct.pack(f"<{len(values)}q", *values)).hex()
    else:
        shown["values"] = values = unpack(key, plain, dimension(spec), slot_bits(spec))
    if spec["strategy"]["kind"] != "evaluation":
        state.advance(values, spec)
    expected = {"context": context, "cohort": cohort, "state": state.digest()}
    need(release == expected | shown, "the release is not what the shares give")
    wanted = {digest("release", release), *(left["envelope"] for left in expired)}
    kinds = (
        ("contributions", "contribution"),
        ("receipts", "charge-receipt"),
        ("shares", "decryption-share"),
    )
    for group, tag in kinds:
        wanted |= {envelope_digest(tag, signed) for signed in attempt[group]}
    need(wanted <= named, "the log does not name all of a round")


def verify(raw: bytes, vectors: Path | None = None) -> list[State]:
    """The last state of every job. Raises Wrong, or what malformed content raises."""
    bundle = json.loads(raw)
    need(canonical(bundle) + b"\n" == raw, "the file is not canonical")
    content = {name: value for name, value in bundle.items() if name != "digest"}
    need(sha(canonical(content)).hex() == bundle["digest"], "the file's digest")
    need(bundle["format"] == "federated-simulation-cloud/bundle/1", "the format")
    logs = {log["origin"]: log for log in bundle["logs"]}
    need(len(logs) == len(bundle["logs"]), "a log is given twice")
    need(bundle["sections"].keys() <= SECTIONS, "an unknown section")
    check_certificates(bundle["sections"])
    witnesses = check_witnesses(bundle["sections"])
    named = set().union(*(check_log(log, witnesses) for log in logs.values()))
    for anchor in bundle["anchors"]:
        check_anchor(anchor, logs)
    events = [json.loads(item["canonical"]) for log in logs.values() for item in log["events"]]
    expiries = {e["subject"]["id"] for e in events if e["tag"] == EXPIRED}
    recorded = {
        e["digests"]["release"]: e["digests"]["reproducibility"]
        for e in events
        if {"release", "reproducibility"} <= e["digests"].keys()
    }
    return [
        check_job(record, named, recorded, expiries, vectors)
        for record in bundle["sections"].get("jobs", [])
    ]


if __name__ == "__main__":
    try:
        with open(sys.argv[1], "rb") as file:
            verify(file.read(), Path(sys.argv[2]) if sys.argv[2:] else None)
    except (Wrong, ArithmeticError, LookupError, TypeError, ValueError) as problem:
        sys.exit(f"{type(problem).__name__}: {problem}")
