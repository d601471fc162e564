"""A whole round in process: what is released is the plain sum with the noise of every site."""

from __future__ import annotations

import numpy as np
import pytest

from federated.errors import InvalidInput
from federated.protocol.checks import charges_check
from federated.protocol.kinds import training
from federated.protocol.release import release_check, release_make
from federated.protocol.share import product_of, share_check
from federated.protocol.transcript import transcript_check
from federated.training.server import ServerState

from .conftest import CAST, with_


def closed_and_shared(consortium, members=CAST, trustees=CAST):
    transcript = consortium.transcript(members=members)
    transcript = with_(
        transcript, receipts=tuple(consortium.receipt(name, transcript) for name in members)
    )
    return with_(transcript, shares=tuple(consortium.share(name, transcript) for name in trustees))


@pytest.mark.parametrize("members", [CAST, CAST[:3]])
@pytest.mark.parametrize("trustees", [CAST, CAST[1:]])
def test_release_is_the_sum_of_gradients_and_noise(consortium, monkeypatch, members, trustees):
    drawn = []

    def recorded(sigma, size):
        noise = sample(sigma, size)
        drawn.append(noise)
        return noise

    sample = training.discrete_gaussian.sample
    monkeypatch.setattr(training.discrete_gaussian, "sample", recorded)
    transcript = closed_and_shared(consortium, members, trustees)
    cohort = transcript_check(transcript, agreement=consortium.agreement)
    charges_check(transcript.receipts, agreement=consortium.agreement, cohort=cohort)
    product = product_of(transcript, agreement=consortium.agreement)
    for signed in transcript.shares:
        share_check(signed, agreement=consortium.agreement, cohort=cohort, product=product)
    release, after = release_make(
        transcript, agreement=consortium.agreement, state=consortium.state
    )
    expected = sum(consortium.gradients[name] for name in members) + sum(drawn)
    assert list(release.values) == expected.tolist()
    assert len(drawn) == len(members)
    assert after.digest() == release.state


def test_sites_recompute_the_server_step_bit_for_bit(consortium):
    transcript = closed_and_shared(consortium)
    release, after = release_make(
        transcript, agreement=consortium.agreement, state=consortium.state
    )
    shown = with_(transcript, release=release)
    again = release_check(shown, agreement=consortium.agreement, state=consortium.state)
    assert again.to_bytes() == after.to_bytes()


@pytest.mark.parametrize("field", ["values", "state"])
def test_a_release_that_differs_is_caught(consortium, field):
    transcript = closed_and_shared(consortium)
    release, _ = release_make(transcript, agreement=consortium.agreement, state=consortium.state)
    changes = {
        "values": {"values": (release.values[0] + 1, *release.values[1:])},
        "state": {"state": "f" * 64},
    }
    shown = with_(transcript, release=with_(release, **changes[field]))
    with pytest.raises(InvalidInput, match=r"sum differs|differs from the recomputed"):
        release_check(shown, agreement=consortium.agreement, state=consortium.state)


def test_a_release_from_another_state_is_caught(consortium):
    transcript = closed_and_shared(consortium)
    release, _ = release_make(transcript, agreement=consortium.agreement, state=consortium.state)
    other = ServerState.initial(np.ones(consortium.spec.model.parameters))
    with pytest.raises(InvalidInput, match="starts from state"):
        release_check(
            with_(transcript, release=release),
            agreement=consortium.agreement,
            state=other,
        )


def test_fewer_than_t_shares_do_not_decrypt(consortium):
    transcript = closed_and_shared(consortium, trustees=CAST[:2])
    with pytest.raises(InvalidInput, match="at least 3 are needed"):
        release_make(transcript, agreement=consortium.agreement, state=consortium.state)
