"""Anchoring through a real chain process: retried, idempotent, only delayed by an outage."""

import shutil
import signal
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from eth_account import Account

from apps.provenance import keys, selectors
from apps.provenance.anchors import _seen, anchor_open, anchor_submit_pending
from apps.provenance.ethereum import Gateway
from apps.provenance.models import Anchor, Registry
from federated.provenance import merkle
from federated.provenance.bundle import Bundle
from federated.provenance.checkpoint import parse_checkpoint
from federated.provenance.verify import origin_hash, verify_bundle
from portal.chain.vote import main as vote
from portal.config import Config
from tests.chain.nodes import ANVIL, any_chain
from tests.ports import free_port
from tests.provenance.conftest import inside, log_everything

KEY = origin_hash("consortium")

pytestmark = pytest.mark.any_chain


@pytest.fixture
def chain(db, settings, tmp_path):
    """The chain of an installation, as a process of this test: embedded, or by configuration."""
    chosen = {"rpc_url": f"http://127.0.0.1:{free_port()}"} if ANVIL else {}
    config = Config.load(state=tmp_path / "state", blockchain={"enabled": True, **chosen})
    config.chain_dir.parent.mkdir(parents=True, exist_ok=True)
    port = config.blockchain.rpc_url.port if ANVIL else config.port("chain")
    process = any_chain(config.chain_dir, port).ready()
    if ANVIL:
        process.key_file = config.secret_path("anchorer.key")
    settings.FSC_CONFIG = config
    yield process
    process.kill()


@pytest.fixture
def gateway(chain):
    return Gateway(chain.url, keys.secret_file(chain.key_file))


@pytest.fixture
def grow(record):
    """Add events and checkpoints to the consortium's log and to two organizations' logs."""

    def more():
        record(2)
        log_everything()
        for slug in ("northwind", "lakeside"):
            with inside(slug):
                record(3)
                log_everything()

    more()
    return more


def configure(settings, **changes) -> None:
    chosen = settings.FSC_CONFIG.blockchain.model_copy(update=changes)
    settings.FSC_CONFIG = settings.FSC_CONFIG.model_copy(update={"blockchain": chosen})


def retry_now() -> Anchor | None:
    Anchor.objects.update(not_before=None)
    return anchor_submit_pending()


def test_one_root_covers_every_log(chain, gateway, grow):
    anchor = anchor_submit_pending()
    assert anchor.state == Anchor.State.CONFIRMED
    heads = [parse_checkpoint(note) for note in anchor.notes]
    origins = [head.origin for head in heads]
    assert origins == sorted(origins)
    assert {"consortium", "consortium/northwind", "consortium/lakeside"} <= set(origins)
    assert anchor.size == sum(head.size for head in heads)
    assert bytes(anchor.root) == merkle.root_of(note.encode() for note in anchor.notes)
    assert gateway.root_at(anchor.contract, KEY, anchor.size) == bytes(anchor.root)
    block = chain.web3.eth.get_block(anchor.block_number)
    assert (block.hash.to_0x_hex(), chain.web3.eth.chain_id) == (
        anchor.block_hash,
        anchor.chain_id,
    )
    assert anchor.tx_hash in [item.to_0x_hex() for item in block.transactions]


def test_only_a_grown_log_is_anchored_again(chain, gateway, grow):
    first = anchor_submit_pending()
    sent = chain.web3.eth.get_transaction_count(gateway.account.address)
    assert anchor_submit_pending() is None
    assert chain.web3.eth.get_transaction_count(gateway.account.address) == sent
    grow()
    second = anchor_submit_pending()
    assert second.state == Anchor.State.CONFIRMED
    assert second.size == first.size + 8
    assert second.contract == first.contract
    assert gateway.latest(second.contract, KEY) == second.size


def test_an_outage_only_delays(chain, grow):
    chain.kill()
    before = timezone.now()
    waiting = anchor_submit_pending()
    assert waiting.state == Anchor.State.PENDING
    assert waiting.last_error
    assert waiting.not_before > before
    Anchor.objects.update(not_before=timezone.now() + timedelta(hours=1))
    assert anchor_submit_pending() is None
    since = waiting.failing_since
    waiting = retry_now()
    assert (waiting.state, waiting.attempts) == (Anchor.State.PENDING, 2)
    assert waiting.failing_since == since
    assert selectors.anchoring_state() == "failing"
    chain.start()
    chain.ready()
    done = retry_now()
    assert (done.pk, done.state, done.last_error) == (waiting.pk, Anchor.State.CONFIRMED, "")
    assert (done.failing_since, selectors.anchoring_state()) == (None, "current")


def test_confirmations_are_kept_as_they_come(chain, gateway, grow, monkeypatch):
    seen = []

    def oldest():
        with inside("northwind"):
            return selectors.events_logged([selectors.events().last()])[0]

    def keep(anchor, *rest):
        _seen(anchor, *rest)
        now = Anchor.objects.get(pk=anchor.pk)
        assert (oldest().anchor, oldest().pending) == (None, now)
        seen.append((now.state, now.confirmations, now.block_number, now.chain_id))

    monkeypatch.setattr("apps.provenance.anchors._seen", keep)
    done = anchor_submit_pending()
    assert seen[-1] == (Anchor.State.SENT, 2, done.block_number, gateway.chain_id)
    assert [confirmations for _, confirmations, _, _ in seen] in ([1, 2], [2])
    assert done.confirmations == 2
    assert (oldest().anchor, oldest().pending) == (done, None)


def test_a_worker_killed_after_sending_does_not_anchor_twice(chain, gateway, grow):
    done = anchor_submit_pending()
    sent = chain.web3.eth.get_transaction_count(gateway.account.address)
    Anchor.objects.filter(pk=done.pk).update(
        state=Anchor.State.SENT, block_number=None, block_hash="", tx_hash="0x" + "00" * 32
    )
    again = retry_now()
    assert again.state == Anchor.State.CONFIRMED
    assert (again.tx_hash, again.block_hash) == (done.tx_hash, done.block_hash)
    assert chain.web3.eth.get_transaction_count(gateway.account.address) == sent


def test_a_worker_killed_before_sending_sends(chain, grow):
    anchor = anchor_open()
    Anchor.objects.filter(pk=anchor.pk).update(state=Anchor.State.SENT, tx_hash="0x" + "ab" * 32)
    done = anchor_submit_pending()
    assert done.state == Anchor.State.CONFIRMED
    assert done.tx_hash != "0x" + "ab" * 32


def test_one_worker_at_a_time(chain, grow):
    anchor = anchor_open()
    assert anchor_open() == anchor
    Anchor.objects.update(not_before=timezone.now() + timedelta(hours=1))
    assert anchor_submit_pending() is None
    with pytest.raises(IntegrityError), transaction.atomic():
        Anchor.objects.create(origin=anchor.origin, size=anchor.size + 1, root=b"", notes=[])


def test_the_contract_is_found_again_after_a_restart(chain, gateway, grow):
    first = anchor_submit_pending()
    assert chain.kill(signal.SIGTERM) == 0
    chain.start()
    chain.ready()
    Registry.objects.all().delete()
    grow()
    second = anchor_submit_pending()
    assert second.contract == first.contract
    # One deployment and two anchors.
    assert chain.web3.eth.get_transaction_count(gateway.account.address) == 3
    assert Registry.objects.get().anchorer == gateway.account.address


def test_an_anchor_is_confirmed_by_the_block_after_it(chain, grow):
    anchor = anchor_submit_pending()
    assert anchor.state == Anchor.State.CONFIRMED
    assert chain.web3.eth.block_number > anchor.block_number


def test_an_anchor_that_a_fork_moved_is_followed(chain, gateway, grow):
    first = anchor_submit_pending()
    Anchor.objects.update(block_hash="0x" + "00" * 32, block_number=first.block_number + 1)
    grow()
    assert anchor_submit_pending().state == Anchor.State.CONFIRMED
    followed = Anchor.objects.get(pk=first.pk)
    assert (followed.block_number, followed.block_hash) == (first.block_number, first.block_hash)


def test_a_contract_by_configuration_must_be_a_registry(chain, settings, grow):
    wrong = "0xab" + "12" * 19
    configure(settings, contract=wrong)
    anchor = anchor_submit_pending()
    assert anchor.state == Anchor.State.PENDING
    assert "is not an AnchorRegistry" in anchor.last_error


def test_the_members_by_configuration_vote(chain, gateway, settings, grow, tmp_path, capsys):
    accounts = [Account.from_key(bytes([number]) * 32) for number in (1, 2, 3)]
    # As anyone may write an address: without the upper-case letters of its checksum.
    members = [account.address.lower() for account in accounts]
    configure(settings, members=members, quorum=2)
    contract = anchor_submit_pending().contract
    state = gateway.registry_state(contract)
    assert (state["members"], state["quorum"], state["is_member"]) == (3, 2, False)
    for number, said in ((1, "1 of 2 votes"), (2, "the change is made")):
        key = tmp_path / f"{number}.key"
        key.write_text(bytes([number]).hex() * 32)
        options = ["--rpc", chain.url, "--contract", contract.lower(), "--key", str(key)]
        assert vote([*options, "remove-anchorer", gateway.account.address.lower()]) == 0
        assert said in capsys.readouterr().out
    grow()
    refused = retry_now()
    assert (refused.state, refused.failing_since is None) == (Anchor.State.SENT, False)
    assert "refused" in refused.last_error


@pytest.mark.skipif(not ANVIL, reason="the embedded chain forgets nothing")
def test_a_chain_that_forgot_its_last_blocks_is_anchored_again(chain, gateway, grow):
    first = anchor_submit_pending()
    assert chain.kill(signal.SIGTERM) == 0
    chain.start()
    chain.ready()
    grow()
    forgotten = anchor_submit_pending()
    chain.kill(signal.SIGKILL)
    chain.start()
    chain.ready()
    assert gateway.latest(first.contract, KEY) == first.size
    grow()
    third = anchor_submit_pending()
    assert (third.state, third.size) == (Anchor.State.CONFIRMED, forgotten.size + 8)
    assert gateway.root_at(third.contract, KEY, third.size) == bytes(third.root)


def test_another_chain_gets_a_contract_of_its_own(chain, grow):
    first = anchor_submit_pending()
    chain.kill()
    shutil.rmtree(chain.state)
    chain.start()
    chain.ready()
    grow()
    second = retry_now()
    assert second.state == Anchor.State.CONFIRMED
    registries = list(Registry.objects.all())
    assert len({row.genesis_hash for row in registries}) == 2
    assert {row.address for row in registries} == {first.contract, second.contract}


def test_a_restored_database_waits_until_it_outgrows_the_chain(chain, gateway, grow):
    address = anchor_submit_pending().contract
    size = Anchor.objects.get().size
    grow()
    tx_hash, raw = gateway.anchor_sign(address, KEY, size + 8, b"\x77" * 32)
    gateway.send(raw)
    gateway.wait(tx_hash)
    waiting = anchor_submit_pending()
    assert waiting.state == Anchor.State.PENDING
    assert "older copy" in waiting.last_error
    grow()
    done = retry_now()
    assert (done.pk, done.state, done.size) == (waiting.pk, Anchor.State.CONFIRMED, size + 16)


def test_without_a_chain_nothing_is_anchored(db, settings, grow, tmp_path):
    settings.FSC_CONFIG = Config.load(state=tmp_path, blockchain={"enabled": False})
    assert anchor_submit_pending() is None
    assert not Anchor.objects.exists()


def test_a_bundle_carries_its_anchors_and_they_verify(chain, grow):
    anchor_submit_pending()
    with inside("northwind"):
        first = selectors.events().last()
        anchors = selectors.anchors_since(first.created_at)
        log = selectors.bundle_log(anchors=anchors)
        bundled = selectors.bundle_anchors(anchors, [log.origin])
        shown = selectors.events_logged(list(selectors.events()))
    assert all(entry.anchor.block_number == bundled[0].block_number for entry in shown)
    bundle = Bundle(created_at="2026-01-01T00:00:00Z", logs=[log], anchors=bundled)
    report = verify_bundle(bundle)
    assert report.ok, report.failures
    assert any("consortium/northwind up to" in check.detail for check in report.checks)

    def failing(**changed):
        anchor = bundled[0].model_copy(update=changed)
        return verify_bundle(bundle.model_copy(update={"anchors": [anchor]})).failures[0].detail

    assert "do not lead to the anchored root" in failing(root="00" * 32)
    assert "do not add up" in failing(size=bundled[0].size + 1)
    assert "not ordered" in failing(notes=bundled[0].notes[::-1])
    elsewhere = [note for note in bundled[0].notes if "northwind" not in note]
    rest = sum(parse_checkpoint(note).size for note in elsewhere)
    root = merkle.root_of(note.encode() for note in elsewhere).hex()
    assert "covers none" in failing(notes=elsewhere, size=rest, root=root)


def test_a_page_reads_no_more_anchors_than_its_events_need(chain, grow):
    for _ in range(3):
        anchor_submit_pending()
        grow()
    retry_now()
    confirmed = list(Anchor.objects.filter(state=Anchor.State.CONFIRMED).order_by("size"))
    assert len(confirmed) > 1
    with inside("northwind"):
        newest = list(selectors.events()[:1])
        asked = selectors._anchors_covering(newest)
        oldest = selectors._anchors_covering(list(selectors.events().reverse()[:1]))
    assert [anchor.pk for _, anchor in asked] == [confirmed[-1].pk]
    assert [anchor.pk for _, anchor in oldest] == [confirmed[0].pk]
    since = selectors.anchors_since(confirmed[0].confirmed_at, limit=1)
    assert [anchor.pk for anchor in since] == [confirmed[0].pk, confirmed[-1].pk]
