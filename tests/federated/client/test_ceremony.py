"""The ceremony deals to confirmed sites and keeps nothing; a site accepts what it compared."""

from __future__ import annotations

import gc
import json
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from federated.command.root import main
from federated.crypto import envelope, threshold
from federated.protocol.identity import SiteIdentity
from federated.protocol.keys import open_share
from federated.site.folder import SiteHome
from federated.wire.base import encode_bytes
from federated.wire.key import KeyEpoch, Roster, RosterSite, SealedShare
from tests.federated.client.authority import Authority, write_private
from tests.federated.protocol.conftest import Consortium


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=text, catch_exceptions=False)


def roster_of(consortium: Consortium) -> Roster:
    identities: dict[str, SiteIdentity] = consortium.identities
    public = {name: envelope.generate() for name in identities}
    consortium.encryption.update({name: pair[0] for name, pair in public.items()})
    return Roster(
        consortium="test",
        sites=tuple(
            RosterSite(
                organization=name,
                public_key=identity.public_key,
                encryption_key=encode_bytes(public[name][1]),
            )
            for name, identity in identities.items()
        ),
    )


@pytest.fixture
def roster(consortium: Consortium) -> Roster:
    return roster_of(consortium)


class Dealer:
    """The ceremony's command on a roster, in a folder of its own."""

    def __init__(self, folder: Path, roster: Roster) -> None:
        self.folder, self.roster = folder, roster
        (folder / "roster.json").write_bytes(roster.canonical())
        self.confirmed = {site.organization: site.digest() for site in roster.sites}

    def deal(self, *more: str, threshold: str = "3", text: str | None = None) -> Result:
        lines = "".join(f"{name} {digest}\n" for name, digest in self.confirmed.items())
        (self.folder / "confirmed.txt").write_text(f"# by telephone\n\n{lines}")
        confirm = () if text is not None else ("--confirm", str(self.folder / "confirmed.txt"))
        return run(
            *("ceremony", "--roster", str(self.folder / "roster.json"), "--threshold", threshold),
            *("--bits", "512", "--out", str(self.folder / "out"), *confirm, *more),
            text=text,
        )

    def epoch(self) -> KeyEpoch:
        return KeyEpoch.parse((self.folder / "out" / "key.json").read_bytes())

    @property
    def dealt(self) -> bool:
        return (self.folder / "out").exists()


@pytest.fixture
def dealer(tmp_path: Path, roster: Roster) -> Dealer:
    return Dealer(tmp_path, roster)


def test_a_ceremony_writes_the_key_and_sealed_shares_alone(
    dealer: Dealer, consortium: Consortium
) -> None:
    done = dealer.deal()
    assert done.exit_code == 0, done.output
    epoch, folder = dealer.epoch(), dealer.folder / "out"
    assert epoch.digest() in done.stdout.replace(" ", "")
    names = sorted(consortium.identities)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == ["key.json", *(f"shares/{name}.json" for name in names)]
    for name in names:
        path = folder / "shares" / f"{name}.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        sealed = SealedShare.parse(path.read_bytes())
        opened = open_share(sealed, epoch, consortium.encryption[name])
        assert opened.index == sealed.index
    again = dealer.deal()
    assert (again.exit_code, "holds a key already" in again.stderr) == (1, True)


def test_nothing_of_the_key_stays(dealer: Dealer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file holds a factor or a share, and nothing in the process refers to them any more."""
    secrets: list[int] = []
    alive: list[weakref.ref[object]] = []
    real = threshold.deal_with_primes

    def spy(p: int, q: int, **options: int) -> threshold.Dealt:
        made = real(p, q, **options)
        secrets.extend([int(p), int(q), *(share.value for share in made.shares)])
        alive.extend(weakref.ref(item) for item in (made, *made.shares))
        return made

    monkeypatch.setattr(threshold, "deal_with_primes", spy)
    assert dealer.deal().exit_code == 0
    gc.collect()
    assert len(secrets) == 6
    assert [ref() for ref in alive] == [None] * 5
    written = b"".join(p.read_bytes() for p in dealer.folder.rglob("*") if p.is_file())
    for value in secrets:
        raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
        forms = [str(value).encode(), f"{value:x}".encode(), raw, encode_bytes(raw).encode()]
        assert not [form for form in forms if form in written]


def test_an_unsafe_quorum_is_refused(dealer: Dealer) -> None:
    assert dealer.deal(threshold="2").exit_code == 1
    assert not dealer.dealt


def test_a_site_that_nobody_heard_gets_no_share(dealer: Dealer) -> None:
    del dealer.confirmed["summit"]
    done = dealer.deal()
    assert (done.exit_code, dealer.dealt) == (1, False)
    assert "nobody confirmed the fingerprint of summit" in done.stderr


def test_an_encryption_key_swapped_in_the_roster_is_found(dealer: Dealer) -> None:
    """The coordinator would read the share; the site's signing key is the right one."""
    site = dealer.roster.sites[0]
    swapped = site.model_copy(update={"encryption_key": encode_bytes(envelope.generate()[1])})
    forged = dealer.roster.model_copy(update={"sites": (swapped, *dealer.roster.sites[1:])})
    (dealer.folder / "roster.json").write_bytes(forged.canonical())
    done = dealer.deal()
    assert (done.exit_code, dealer.dealt) == (1, False)
    assert f"{site.organization} read out {site.digest()[:16]}" in done.stderr
    assert "[fingerprint_mismatch]" in done.stderr


def test_a_site_dropped_from_the_roster_is_found(dealer: Dealer) -> None:
    shorter = dealer.roster.model_copy(update={"sites": dealer.roster.sites[:3]})
    (dealer.folder / "roster.json").write_bytes(shorter.canonical())
    done = dealer.deal()
    assert (done.exit_code, dealer.dealt) == (1, False)
    assert "the roster does not list it" in done.stderr


def test_a_lost_trustee_is_left_out_on_purpose(dealer: Dealer) -> None:
    lost = dealer.roster.sites[0].organization
    del dealer.confirmed[lost]
    done = dealer.deal("--without", lost, "--number", "2", threshold="3")
    assert done.exit_code == 0, done.output
    assert dealer.epoch().trustee(lost) is None
    assert (dealer.epoch().number, len(dealer.epoch().trustees)) == (2, 3)
    unknown = dealer.deal("--without", "nobody")
    assert "--without: nobody is not in the roster" in unknown.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("summit 12", "64 hexadecimal digits"),
        ("summit " + "z" * 64, "64 hexadecimal digits"),
        ("summit", "64 hexadecimal digits"),
        ("northwind " + "a" * 64, "northwind is listed twice"),
    ],
)
def test_a_bad_line_of_confirmations_is_named(dealer: Dealer, line: str, said: str) -> None:
    (dealer.folder / "bad.txt").write_text(
        f"northwind {dealer.confirmed['northwind']}\n{line} # heard at noon\n"
    )
    done = dealer.deal("--confirm", str(dealer.folder / "bad.txt"))
    assert (done.exit_code, dealer.dealt) == (1, False)
    assert "bad.txt, line 2" in done.stderr
    assert said in done.stderr


def test_each_site_is_asked_for(dealer: Dealer) -> None:
    done = dealer.deal(text="y\ny\ny\ny\n")
    assert done.exit_code == 0, done.output
    for site in dealer.roster.sites:
        assert site.digest() in done.stdout.replace(" ", "")
        assert f"Has {site.organization} read out the same?" in done.stdout


@pytest.mark.parametrize("answers", ["y\ny\nn\n", "y\ny\n", "\n"])
def test_one_no_or_silence_deals_nothing(dealer: Dealer, answers: str) -> None:
    done = dealer.deal(text=answers)
    assert (done.exit_code, dealer.dealt) == (1, False)
    assert "is not confirmed; nothing was dealt" in done.stderr


def test_a_roster_from_standard_input_leaves_nobody_to_ask(roster: Roster) -> None:
    done = run(
        *("ceremony", "--roster", "-", "--threshold", "3", "--out", "nowhere"),
        text=roster.canonical().decode(),
    )
    assert (done.exit_code, "--confirm needs a file" in done.stderr) == (1, True)


# At a site.


@pytest.fixture
def site(tmp_path: Path, consortium: Consortium) -> Iterator[SiteHome]:
    path = tmp_path / "site"
    path.mkdir(mode=0o700)
    key = consortium.identities["summit"]._private_key
    write_private(path / "site.pem", Authority().admit("summit", key=key))
    write_private(path / "encryption.key", envelope.generate()[0])
    yield SiteHome(path)


def of(site: SiteHome, *arguments: str, text: str | None = None) -> Result:
    return run("key", *arguments, "--home", str(site.path), text=text)


def test_a_site_reads_out_both_its_keys(site: SiteHome) -> None:
    before = of(site, "fingerprint").stdout
    assert before.startswith("summit ")
    write_private(site.path / "encryption.key", envelope.generate()[0])
    after = of(SiteHome(site.path), "fingerprint").stdout
    assert before != after
    assert len(after.split(maxsplit=1)[1].replace(" ", "").strip()) == 64


def test_an_offered_key_is_shown_compared_and_accepted(
    site: SiteHome, consortium: Consortium
) -> None:
    epoch, digest = consortium.epoch, consortium.epoch.digest()
    assert "no key was offered to this site yet" in of(site, "show").stderr
    site.epoch_folder(digest).offer_keep(epoch)
    shown = of(site, "show").stdout
    assert "offered, not accepted" in shown
    assert digest in shown.replace(" ", "")
    whole = of(site, "show", digest[:8]).stdout
    assert all(f"trustee {t.index} {t.organization}" in whole for t in epoch.trustees)
    typed = " ".join(digest[at : at + 8].upper() for at in range(0, 32, 8))
    done = of(site, "accept", typed)
    assert done.exit_code == 0, done.output
    note = site.epoch_folder(digest).accepted()
    assert note is not None
    assert "at the site" in note.by
    assert "accepted, not yet taken" in of(site, "show").stdout


def test_a_key_is_accepted_before_it_is_offered_by_its_whole_fingerprint(site: SiteHome) -> None:
    assert of(site, "accept", "ab" * 32).exit_code == 0
    assert site.epoch_folder("ab" * 32).accepted() is not None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ab" * 10, "32 to 64 hexadecimal digits"),
        ("xy" * 20, "32 to 64 hexadecimal digits"),
        ("ab" * 16, "no key that was offered to this site begins so"),
    ],
)
def test_what_is_not_the_offered_key_is_not_accepted(
    site: SiteHome, consortium: Consortium, given: str, said: str
) -> None:
    site.epoch_folder(consortium.epoch.digest()).offer_keep(consortium.epoch)
    done = of(site, "accept", given)
    assert (done.exit_code, said in done.stderr) == (1, True)
    assert site.epoch_folder(consortium.epoch.digest()).accepted() is None


def test_a_share_is_destroyed_at_a_persons_word(site: SiteHome, consortium: Consortium) -> None:
    folder = site.epoch_folder(consortium.epoch.digest())
    folder.epoch_keep(consortium.epoch)
    folder.share_keep(consortium.shares["summit"])
    assert f"share {consortium.shares['summit'].index} held" in of(site, "show").stdout
    beginning = folder.digest[:16]
    kept = of(site, "retire", beginning, text="n\n")
    assert (kept.exit_code, "nothing was destroyed" in kept.stderr) == (1, True)
    assert "no newer key epoch is accepted here" in kept.stdout
    assert folder.share() is not None
    assert of(site, "retire", beginning, "--yes").exit_code == 0
    assert folder.share() is None
    assert "retired" in of(site, "show").stdout
    assert "[key_retired]" in of(site, "accept", folder.digest).stderr
    assert "is known to this site" in of(site, "retire", "0" * 16).stderr
    assert json.loads((folder.path / "retired.json").read_bytes())["by"].endswith("at the site")
