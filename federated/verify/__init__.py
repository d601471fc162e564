"""The offline verifier's checks of a bundle; modules are imported when a check is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

    from federated.provenance.verify import BundleCheck
    from federated.verify.vectors import VectorFolder

__all__ = ["bundle_checks"]


def bundle_checks(
    *,
    vectors: VectorFolder | None = None,
    witness_keys: Sequence[str] = (),
    authorities: Sequence[x509.Certificate] = (),
    own: Sequence[BundleCheck] = (),
    rpc: str | None = None,
    contract: str | None = None,
) -> list[BundleCheck]:
    """Every check that there is, for ``verify_bundle``.

    ``vectors`` holds what travels beside a bundle, ``own`` are a site's (site.bundle_checks); with
    ``rpc`` anchors are looked up. Raises InvalidInput for a witness's key that is none.
    """
    from federated.verify.campaigns import campaign_checks
    from federated.verify.chain import chain_checks
    from federated.verify.parts import section_checks
    from federated.verify.rounds import round_checks
    from federated.verify.trust import trust_checks
    from federated.verify.witnesses import witness_checks

    return [
        section_checks,
        partial(round_checks, vectors=vectors),
        campaign_checks,
        witness_checks(witness_keys),
        trust_checks(authorities),
        *own,
        chain_checks(rpc, contract),
    ]
