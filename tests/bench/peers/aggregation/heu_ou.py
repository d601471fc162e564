"""HEU's Okamoto-Uchiyama at 2048 bits, one value a ciphertext; fewer values, extrapolated."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from heu import numpy as hnp
from heu import phe

REPEATS = 3
MEASURED = 20_000


def seconds(call):
    found = []
    for _ in range(REPEATS):
        begun = time.process_time()
        call()
        found.append(time.process_time() - begun)
    return found


def main(params):
    count = min(params, MEASURED)
    kit = hnp.setup(phe.SchemaType.OU, 2048)
    encryptor, evaluator, decryptor = kit.encryptor(), kit.evaluator(), kit.decryptor()
    values = np.random.default_rng(1).integers(-(2**20), 2**20, count)
    encoded = kit.array(values, phe.BigintEncoder(kit.get_schema()))
    one = encryptor.encrypt(encoded)
    total = evaluator.add(one, one)
    timed = {
        "encrypt": lambda: encryptor.encrypt(
            kit.array(values, phe.BigintEncoder(kit.get_schema()))
        ),
        "add a site": lambda: evaluator.add(total, one),
        "decrypt": lambda: decryptor.decrypt(total),
    }
    case = f"OU 2048, {count:,} values measured"
    rows = [
        {"case": case, "metric": metric, "seconds": seconds(call)} for metric, call in timed.items()
    ]
    rows.append({"case": case, "metric": "wire", "bytes": len(one.serialize())})
    print(json.dumps([{**row, "params": count} for row in rows]))


main(int(sys.argv[1]))
