"""A trustee that is lost between its noise and its share does not end a run that was charged."""

from __future__ import annotations

from datetime import timedelta

from apps.attempts.models import Attempt
from apps.common.coordinator import as_coordinator
from federated.protocol.attempt import GRACE_SECONDS
from tests.benchmarks.world import EVERYBODY, Consortium, run_of


def decrypting(consortium: Consortium) -> tuple[Attempt, str, str]:
    """A run whose noise is in; one trustee who gave some, and the one who gave none."""
    campaign = consortium.create(participants=list(EVERYBODY))
    consortium.step(*EVERYBODY)
    consortium.measure(campaign, *EVERYBODY)
    found = consortium.until(campaign, "noising", *EVERYBODY)
    for slug in EVERYBODY:
        if run_of(campaign).state == "noising":
            consortium.step(slug)
    found = run_of(campaign)
    assert found.state == "decrypting"
    assert found.noised is not None
    noisy = sorted(found.noised["noise"])
    (idle,) = set(EVERYBODY) - set(noisy)
    return found, noisy[0], idle


def test_the_trustee_that_gave_no_noise_finishes(consortium: Consortium) -> None:
    found, lost, idle = decrypting(consortium)
    alive = [slug for slug in EVERYBODY if slug != lost]
    consortium.step(*alive)
    # Those with noise in the sum are asked first; the fourth after a grace.
    assert found.messages.filter(name="share").count() == 2
    with as_coordinator():
        Attempt.objects.filter(pk=found.pk).update(
            noised_at=found.noised_at - timedelta(seconds=GRACE_SECONDS)
        )
    released = consortium.until(found.agreement.campaign, "released", *alive)
    assert set(
        released.messages.filter(name="share").values_list("organization", flat=True)
    ) == set(alive)
    assert consortium[idle].said("decryption share")
    consortium.step(*alive)
    assert (
        list(released.messages.filter(name="verdict").values_list("agrees", flat=True))
        == [True] * 3
    )
