"""TenSEAL CKKS as NVFlare uses it: one vector of all parameters, added up as it is."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import tenseal as ts

REPEATS = 5
# NVFlare's default, and the fastest setting that is secure (109 bits at 4096) and can add.
SETTINGS = {
    "CKKS 8192 (NVFlare's default)": (8192, [60, 40, 40], 40),
    "CKKS 4096, one prime": (4096, [60, 40], 40),
}


def seconds(call):
    found = []
    for _ in range(REPEATS):
        begun = time.process_time()
        call()
        found.append(time.process_time() - begun)
    return found


def main(params):
    values = np.random.default_rng(1).uniform(-1, 1, params).astype(np.float32)
    rows = []
    for case, (degree, bits, scale) in SETTINGS.items():
        context = ts.context(
            ts.SCHEME_TYPE.CKKS,
            poly_modulus_degree=degree,
            coeff_mod_bit_sizes=bits,
            n_threads=1,
        )
        context.global_scale = 2**scale
        one = ts.ckks_vector(context, values)
        other = ts.ckks_vector(context, values)
        total = one + other
        worst = np.abs(np.array(total.decrypt()) - 2 * values.astype(float)).max()
        if worst > 0.05:
            raise SystemExit(f"{case} decrypts wrongly: off by {worst}")
        timed = {
            "encrypt": lambda c=context: ts.ckks_vector(c, values),
            "add a site": lambda t=total, o=other: t.add_(o),
            "decrypt": lambda t=total: t.decrypt(),
        }
        for metric, call in timed.items():
            rows.append({"case": case, "metric": metric, "seconds": seconds(call)})
        rows.append({"case": case, "metric": "wire", "bytes": len(one.serialize())})
    print(json.dumps([{**row, "params": params} for row in rows]))


main(int(sys.argv[1]))
