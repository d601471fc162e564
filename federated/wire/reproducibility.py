"""A release's reproducibility record: its inputs, its seeds and the software."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from federated.wire.base import Digest, Identifier, Message, Slug
from federated.wire.round import Count

Version = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,80}$")]
"""What a program calls itself: printable ASCII."""


class Software(Message):
    """The code that computed a release, and what its numbers and encodings rest on.

    ``source`` is the digest of the package's source files (federated.provenance.software), which a
    version alone does not fix. ``libraries`` are versions by distribution.
    """

    TAG: ClassVar[str] = "software"

    federated: Version
    source: Digest
    python: Version
    platform: Version
    libraries: Annotated[dict[Version, Version], Field(max_length=32)]


class PublicInputs(Message):
    """Digests of all that a release follows from; every one of them is in the bundle.

    ``dictionary`` and ``model`` are parts of the spec, by themselves; ``state`` is the server's
    before the step; ``contributions`` are envelope digests, which ``cohort`` names too. Shares are
    not listed: any t of them give the same sum.
    """

    spec: Digest
    dictionary: Digest
    model: Digest
    key_epoch: Digest
    initial_state: Digest
    state: Digest
    context: Digest
    cohort: Digest
    contributions: Annotated[dict[Slug, Digest], Field(min_length=1, max_length=1000)]


class PublicSeeds(Message):
    """The public random seeds, 32 bytes each in hex.

    ``mask`` is the AES key of a masked job's public vector a; ``minibatches`` seed each
    organization's order of rows, where local training has one. Noise, nonces and mask keys are
    secret and drawn from no seed.
    """

    mask: Digest | None = None
    minibatches: dict[Slug, Digest] = {}


class ReproducibilityRecord(Message):
    """Made with the release by who computed it; the event of the release names its digest.

    It proves which inputs the release claims and, against the log, that the record was not changed
    later; not that this software ran: to replay the transcript is what shows that.
    """

    TAG: ClassVar[str] = "reproducibility-record"

    version: Literal[1] = 1
    job_id: Identifier
    round: Count
    attempt: Count
    software: Software
    inputs: PublicInputs
    seeds: PublicSeeds
    release: Digest
    state: Digest
