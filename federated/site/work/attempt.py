"""A site's part in one attempt of any kind: check everything, remember on disk, then sign and send.

What is the same for all kinds is here, once: the charge, the noise, the share, the refusal, the
verdict, and that the same bytes are sent again. ``round`` and ``run`` say where an attempt of a
job and a run of a campaign are kept and read, and how their contributions are made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from federated.errors import BudgetExceeded, InvalidInput, NotFound
from federated.protocol.address import Attempt
from federated.protocol.agreement import AnyAgreement
from federated.protocol.checks import charges_check
from federated.protocol.kinds import kind_of
from federated.protocol.noise import noise_make, noised_cohort_check
from federated.protocol.refused import Refused
from federated.protocol.share import share_make
from federated.site.signed_folder import SignedFolder
from federated.site.site import Site, short
from federated.wire.base import Message, Signed
from federated.wire.campaign import TrusteeNoise
from federated.wire.round import ChargeReceipt, DecryptionShare, Reason, Refusal, Verdict

M = TypeVar("M", bound=Message)


class Part(ABC):
    """A site's part in the attempt that ``at`` names; ``folder`` is where it keeps its messages.

    ``subject`` and ``name`` are the job or campaign and the attempt, in words.
    """

    def __init__(
        self, site: Site, at: Attempt, folder: SignedFolder, *, subject: str, name: str
    ) -> None:
        self.site, self.at, self.folder = site, at, folder
        self.subject, self.name = f"{subject} {at.job_id[:8]}", name

    # What every kind does in the same way.

    def contribute(self) -> None:
        """Make the attempt's contribution once, keep it, then send it; the same bytes ever after.

        Raises Refused where the context is not of what this site approved.
        """
        if self.expired:
            raise Refused(
                self.over, f"{self.name} is over, its {self.message} is not kept any more"
            )
        kept, size = self.contribution()
        self.send(self.message, kept, f"{self.message} sent, {size}")

    def charge(self) -> None:
        """Commit the attempt's charge for its cohort, then say so; or send a signed refusal.

        Raises InvalidInput where the site is no member.
        """
        cohort, check = self.closed()
        try:
            agreement = check()
            if self.site.organization not in cohort.members:
                raise InvalidInput(
                    f"{self.site.organization} is not in the cohort: there is nothing to charge"
                )
            cost = self.site.home.ledger.commit(**self.entry(agreement), cohort=cohort.digest())
        except BudgetExceeded as error:
            self.refuse(Refused(Reason.BUDGET_EXCEEDED, error.message), cohort)
        except Refused as error:
            self.refuse(error, cohort)
        else:
            receipt = ChargeReceipt(
                context=cohort.context,
                cohort=cohort.digest(),
                organization=self.site.organization,
                cost=cost,
            )
            told = f"charged rho {cost.rho:.3g} for a cohort of {len(cohort.members)}"
            self.send("receipt", self.keep("receipt", receipt), told)

    def noise(self) -> None:
        """Add this trustee's noise share to the one cohort, drawn once; or refuse, signed."""
        transcript = self.transcript()
        try:
            agreement, cohort = self.check(transcript)
            charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
            kept = self.kept(TrusteeNoise, "noise")
            if kept is None and self.expired:
                raise Refused(self.over, f"{self.name} is over, its noise is not kept any more")
            if kept is None:
                identity = self.site.identity
                made = noise_make(agreement=agreement, cohort=cohort, identity=identity)
                kept = self.folder.signed_keep(self.file("noise"), made)
            if kept.body.cohort != cohort.digest():
                raise Refused(
                    Reason.COHORT_ALREADY_SERVED,
                    f"{self.name}: noise is bound to cohort {kept.body.cohort[:16]}, asked for "
                    f"{cohort.digest()[:16]}",
                )
        except Refused as error:
            self.refuse(error, transcript.cohort())
        else:
            self.send("noise", kept, "noise share sent")

    def share(self) -> None:
        """Give this trustee's share for the one cohort of the attempt; or refuse, signed."""
        transcript = self.transcript()
        decrypted = transcript.decrypted()
        try:
            agreement, cohort = self.check(transcript)
            share = self.site.home.share(agreement.spec.key_epoch)
            if share is None:
                raise Refused(
                    Reason.KEY_UNKNOWN, f"this site holds no share of the {agreement.NOUN}'s key"
                )
            charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
            if kind_of(agreement).noising:
                self.noise_check(transcript, agreement)
            self.serve(agreement, cohort, decrypted.digest())
        except Refused as error:
            self.refuse(error, decrypted)
            return
        kept = self.kept(DecryptionShare, "share")
        if kept is None:
            identity = self.site.identity
            made = share_make(transcript, agreement=agreement, share=share, identity=identity)
            kept = self.folder.signed_keep(self.file("share"), made)
        self.send("share", kept, f"decryption share {kept.body.index} sent")

    def verdict(self) -> None:
        """Recompute the attempt's release and send a signed verdict; the same when asked again.

        A release that does not follow gets ``agrees=False`` with what differs, and nothing of it
        is kept. Raises NotFound where retention has left too little to bear the release out.
        """
        kept = self.kept(Verdict, "verdict")
        if kept is None:
            kept = self.keep("verdict", self.judge())
        self.judged(kept.body)
        told = "verified" if kept.body.agrees else f"DISAGREES: {kept.body.detail}"
        self.send("verdict", kept, f"release {told}")

    def judge(self) -> Verdict:
        """The verdict to sign. Errors other than InvalidInput and Refused are no disagreement."""
        transcript = self.transcript()
        release = transcript.release
        if release is None:
            raise InvalidInput(f"{self.name}: the transcript has no release yet")
        agrees, detail = True, ""
        try:
            self.follow(transcript)
        except (InvalidInput, Refused) as error:
            agrees, detail = False, short(error)[:500]
        if agrees and transcript.left:
            raise NotFound(
                f"{self.name}: its {self.message}s expired by retention, without which the shares' "
                "proofs cannot be checked any more: no verdict"
            )
        return Verdict(
            context=release.context,
            cohort=release.cohort,
            release=release.digest(),
            organization=self.site.organization,
            agrees=agrees,
            detail=detail,
        )

    def check(self, transcript: Any) -> tuple[AnyAgreement, Any]:
        """The agreement and the cohort, once the transcript is what this site took part in.

        Raises Refused.
        """
        self.at_check(transcript.context)
        agreement = self.agreement(transcript)
        seen = self.context_seen(transcript.context)
        if seen is not None and seen != transcript.context:
            raise Refused(Reason.CONTEXT_MIXED, f"{self.name} had another context before")
        cohort = self.site.check(transcript, agreement=agreement)
        own, name = self.own(), self.site.organization
        listed = cohort.members.get(name)
        if listed is not None and (own is None or own.digest() != listed):
            raise Refused(
                kind_of(agreement).changed,
                f"the {self.message} listed for {name} is not the one this site sent",
            )
        return agreement, cohort

    def at_check(self, context: Any) -> None:
        """Check that a context is of this attempt. Raises Refused."""
        if (context.subject, context.number, context.attempt) != (
            self.at.job_id,
            self.at.round,
            self.at.number,
        ):
            raise Refused(
                Reason.CONTEXT_MIXED,
                f"{context.number}/{context.attempt} of {context.subject[:8]} came for {self.name}",
            )

    def noise_check(self, transcript: Any, agreement: AnyAgreement) -> None:
        """Check the noise that is to be decrypted, this trustee's as it keeps it.

        Raises Refused.
        """
        own = self.kept(TrusteeNoise, "noise")
        if own is None and self.site.organization in transcript.decrypted().noise:
            raise Refused(Reason.NOISE_CHANGED, "noise is shown as this site's that it never made")
        noised_cohort_check(transcript, agreement=agreement, own=own)

    def serve(self, agreement: AnyAgreement, cohort: Any, decrypted: str) -> None:
        """Remember on disk what is decrypted, one of it ever; a member's charge is for its cohort.

        Raises Refused.
        """
        charged = cohort.digest()
        member, plain = self.site.organization in cohort.members, charged == decrypted
        self.site.home.ledger.serve(
            **self.entry(agreement), cohort=decrypted, charged=member and plain
        )
        if member and not plain:
            self.charged_check(agreement, charged)

    def charged_check(self, agreement: AnyAgreement, cohort: str) -> None:
        """Check that this site has committed its own charge, for this very cohort.

        Raises Refused.
        """
        if self.site.home.ledger.charged(**self.entry(agreement)) is None:
            raise Refused(Reason.CHARGE_MISSING, f"{self.name}: not charged in this ledger")
        self.released_check(agreement, cohort)

    def released_check(self, agreement: AnyAgreement, cohort: str) -> None:
        """Check that a cohort is the one that this site charged for, if it charged.

        Raises Refused(cohort_already_served).
        """
        charged = self.site.home.ledger.charged(**self.entry(agreement))
        if charged is not None and charged != cohort:
            raise Refused(
                Reason.COHORT_ALREADY_SERVED,
                f"{self.name} is of cohort {cohort[:16]}, charged was {charged[:16]}",
            )

    def entry(self, agreement: AnyAgreement) -> dict[str, Any]:
        """How the ledger names the attempt."""
        return {
            "job_id": agreement.ledger_id,
            "round": self.at.round,
            "attempt": self.at.number,
        }

    def refuse(self, error: Refused, shown: Any) -> None:
        """Sign a refusal of the cohort that was shown, keep it as evidence, send it, say it."""
        refusal = Refusal(
            context=shown.context,
            cohort=shown.digest(),
            organization=self.site.organization,
            reason=error.reason,
            detail=error.detail[:500],
        )
        self.site.say(f"REFUSED {error.reason.value}: {error.detail} ({self.subject}, {self.name})")
        self.send("refusal", self.keep(self.refusal_name(refusal), refusal))

    def kept(self, kind: type[M], name: str) -> Signed[M] | None:
        """The attempt's signed message of that name, if it was made."""
        return self.folder.signed(kind, self.file(name))

    def keep(self, name: str, message: M) -> Signed[M]:
        """Sign and keep a message; the one that was kept first stands."""
        return self.folder.signed_keep(self.file(name), self.site.identity.sign(message))

    def context_first(self, agreement: AnyAgreement, context: Any) -> Any:
        """An attempt's context, checked; the first one that a site sees is the only one it answers.

        Raises Refused.
        """
        agreement.context_check(context)
        self.at_check(context)
        if self.context_keep(context) != context:
            raise Refused(Reason.CONTEXT_MIXED, f"{self.name} had another context before")
        return context

    def context_seen(self, context: Any) -> Any:
        """The context that this site saw first, if it saw one."""
        return self.folder.message(type(context), self.file("context"))

    def context_keep(self, context: Any) -> Any:
        """Keep the context, and return the one that was kept first."""
        return self.folder.message_keep(self.file("context"), context)

    def send(self, name: str, signed: Signed[Any], told: str = "") -> None:
        """Send a message that is kept, then say so."""
        self.post(name, signed)
        if told:
            self.site.say(f"{self.subject}, {self.name}: {told}")

    # What jobs and campaigns differ in.

    message: ClassVar[str]
    """The name of the contribution."""
    over: ClassVar[Reason]
    """Why a site makes no message in the place of one that it has let go."""

    @property
    @abstractmethod
    def expired(self) -> bool:
        """Whether this site made messages for the attempt and has let them go."""

    @abstractmethod
    def file(self, name: str) -> str:
        """The name that the folder keeps a message of this attempt under."""

    @abstractmethod
    def refusal_name(self, refusal: Refusal) -> str: ...

    @abstractmethod
    def post(self, name: str, signed: Signed[Any]) -> None:
        """Send a message to the coordinator."""

    @abstractmethod
    def transcript(self) -> Any:
        """The coordinator's transcript of the closed attempt."""

    @abstractmethod
    def closed(self) -> tuple[Any, Callable[[], AnyAgreement]]:
        """The cohort that is to be charged, and the check of it; that raises Refused."""

    @abstractmethod
    def agreement(self, transcript: Any) -> AnyAgreement:
        """The agreement that this site checks a transcript by. Raises Refused."""

    @abstractmethod
    def own(self) -> Signed[Any] | None:
        """The contribution that this site made."""

    @abstractmethod
    def contribution(self) -> tuple[Signed[Any], str]:
        """The contribution, kept now if it was not made before; and its size in words."""

    @abstractmethod
    def follow(self, transcript: Any) -> None:
        """Recompute a release, and keep what follows. Raises InvalidInput or Refused."""

    def judged(self, verdict: Verdict) -> None:  # noqa: B027
        """What is due once a verdict is kept; nothing."""
