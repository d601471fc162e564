"""The site's next certificate, before the present one ends.

The key stays: specs and key epochs pin it. What was answered is kept whole or not at all, and the
present certificate stays valid meanwhile, so that a site which dies anywhere here asks again.
"""

from __future__ import annotations

from datetime import UTC, datetime

from federated.api.credentials import issued_check
from federated.errors import InvalidInput
from federated.files import write_durably
from federated.site.site import Site
from federated.wire.site import RenewalRequest


def certificate_renew(site: Site) -> bool:
    """Renew the certificate if less than a third of its life is left. True if it was.

    Raises InvalidInput or NotAuthenticated for an answer that is no certificate of this site.
    """
    held = site.home.credentials
    if not held.renewal_due(datetime.now(UTC)):
        return False
    answer = site.api.renew(RenewalRequest(csr=held.request()))
    certificate = issued_check(
        answer.certificate, held.private_key.public_key(), held.authorities, held.organization
    )
    if certificate.not_valid_after_utc <= held.certificate.not_valid_after_utc:
        raise InvalidInput("the certificate in the answer ends no later than the present one")
    write_durably(held.path, held.pem(certificate))
    site.home.credentials_reload()
    site.api.identify(site.home.credentials.ssl_context())
    return True
