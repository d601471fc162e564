"""The portal's settings for mypy's Django plugin, which needs models and no services.

Loading them makes secrets and ports. They are made in a directory that is gone afterwards, so that
a check leaves no state directory behind and reads none.
"""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

for _name in [name for name in os.environ if name.startswith("FEDERATED__")]:
    del os.environ[_name]
with TemporaryDirectory(prefix="fsc-types-") as _state:
    os.environ.update(FSC_STATE=_state, FSC_CONFIG="", FSC_DB_ROLE="app")
    from portal.settings import *  # noqa: F403
