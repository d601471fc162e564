"""Flower's SecAgg+ primitives, as its client mod and its workflow call them, 10 sites in one graph.

The masks come from a Mersenne Twister with a 32-bit seed: fast, and not safe.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    parameters_addition,
    parameters_mod,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize, quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

REPEATS = 5
SITES = 10
CLIP, TARGET, MODULUS = 8.0, 1 << 22, 1 << 32


def mask(values, private, pairwise):
    """The heart of secaggplus_mod._collect_masked_vectors."""
    vector = quantize(values, CLIP, TARGET)
    shapes = [part.shape for part in vector]
    vector = parameters_addition(vector, pseudo_rand_gen(private, MODULUS, shapes))
    for order, seed in enumerate(pairwise):
        combine = parameters_addition if order % 2 else parameters_subtraction
        vector = combine(vector, pseudo_rand_gen(seed, MODULUS, shapes))
    return parameters_mod(vector, MODULUS)


def unmask(total, privates):
    """The server's part when nobody dropped out: take off each private mask, dequantize."""
    shapes = [part.shape for part in total]
    for seed in privates:
        total = parameters_subtraction(total, pseudo_rand_gen(seed, MODULUS, shapes))
    return dequantize(parameters_mod(total, MODULUS), CLIP, TARGET)


def seconds(call):
    found = []
    for _ in range(REPEATS):
        begun = time.process_time()
        call()
        found.append(time.process_time() - begun)
    return found


def main(params):
    values = [np.random.default_rng(1).uniform(-1, 1, params).astype(np.float32)]
    private, pairwise = os.urandom(32), [os.urandom(32) for _ in range(SITES - 1)]
    masked = mask(values, private, pairwise)
    total = parameters_addition(masked, masked)
    privates = [os.urandom(32) for _ in range(SITES)]
    timed = {
        "encrypt": lambda: mask(values, private, pairwise),
        "add a site": lambda: parameters_addition(total, masked),
        "decrypt": lambda: unmask(total, privates),
    }
    case = "SecAgg+ primitives, 9 neighbours"
    rows = [
        {"case": case, "metric": metric, "seconds": seconds(call)} for metric, call in timed.items()
    ]
    rows.append({"case": case, "metric": "wire", "bytes": sum(part.nbytes for part in masked)})
    print(json.dumps([{**row, "params": params} for row in rows]))


main(int(sys.argv[1]))
