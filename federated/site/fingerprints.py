"""Fingerprints that people compare by telephone: of sites before a ceremony, of keys after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from federated.errors import Forbidden, InvalidInput
from federated.site.folder import SiteHome
from federated.wire.base import encode_bytes
from federated.wire.key import Roster, RosterSite

DIGITS = 64
ENOUGH = 32
"""Digits of a key's fingerprint that name it: 128 bits, out of reach of a second key like it."""


class FingerprintMismatch(Forbidden):
    """What was read out is not what is here: somebody between changed a key."""

    code = "fingerprint_mismatch"
    title = "Not the fingerprint that was read out"


def grouped(fingerprint: str) -> str:
    """A fingerprint as people read it out: groups of eight."""
    return " ".join(fingerprint[at : at + 8] for at in range(0, len(fingerprint), 8))


def parse(text: str, *, least: int = DIGITS) -> str:
    """The digits of a fingerprint as people type it: spaces, colons and capitals are fine.

    Raises InvalidInput for other signs, or fewer than ``least`` digits.
    """
    digits = text.replace(" ", "").replace(":", "").lower()
    if not all(sign in "0123456789abcdef" for sign in digits) or not least <= len(digits) <= DIGITS:
        allowed = str(DIGITS) if least == DIGITS else f"{least} to {DIGITS}"
        raise InvalidInput(f"fingerprint {text[:80]!r}: {allowed} hexadecimal digits are needed")
    return digits


def site_fingerprint(home: SiteHome) -> str:
    """This site's own: of its signing key and its encryption key together."""
    identity = home.credentials.identity
    public = X25519PrivateKey.from_private_bytes(home.encryption_key()).public_key()
    return RosterSite(
        organization=identity.organization,
        public_key=identity.public_key,
        encryption_key=encode_bytes(public.public_bytes_raw()),
    ).digest()


def without(roster: Roster, left_out: tuple[str, ...]) -> Roster:
    """The roster without some organizations: a key may have fewer trustees than there are sites.

    Raises InvalidInput for one that is not in it.
    """
    unknown = sorted(set(left_out) - {site.organization for site in roster.sites})
    if unknown:
        raise InvalidInput(f"--without: {', '.join(unknown)} is not in the roster")
    kept = tuple(site for site in roster.sites if site.organization not in left_out)
    return roster.model_copy(update={"sites": kept})


def read_confirmations(path: Path) -> dict[str, str]:
    """Organization and fingerprint a line, as they were read out; # begins a comment.

    Raises InvalidInput naming the line at fault.
    """
    found: dict[str, str] = {}
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--confirm: {path} cannot be read") from error
    for number, line in enumerate(lines, start=1):
        organization, _, fingerprint = line.partition("#")[0].strip().partition(" ")
        if not organization:
            continue
        if organization in found:
            raise InvalidInput(f"{path}, line {number}: {organization} is listed twice")
        try:
            found[organization] = parse(fingerprint)
        except InvalidInput as error:
            raise InvalidInput(f"{path}, line {number}: {error.message}") from error
    return found


def check_confirmations(roster: Roster, confirmed: Mapping[str, str]) -> None:
    """Every site of the roster was heard, and said what the roster says.

    Raises InvalidInput for a site that nobody heard, or that was heard and is not in the roster;
    FingerprintMismatch for one that said something else.
    """
    listed = {site.organization: site.digest() for site in roster.sites}
    unheard = sorted(set(listed) - set(confirmed))
    if unheard:
        raise InvalidInput(f"nobody confirmed the fingerprint of {', '.join(unheard)}")
    dropped = sorted(set(confirmed) - set(listed))
    if dropped:
        raise InvalidInput(
            f"{', '.join(dropped)} was confirmed, and the roster does not list it; get the roster "
            "again, or leave it out on purpose (--without)"
        )
    wrong = sorted(name for name, digest in listed.items() if confirmed[name] != digest)
    if wrong:
        raise FingerprintMismatch(
            f"{wrong[0]} read out {confirmed[wrong[0]][:16]}, the roster has "
            f"{listed[wrong[0]][:16]}: do not deal a key to this roster"
        )
