"""DP-SGD with Opacus on pooled rows: train.py GIVEN.npz SETTINGS-JSON SCORES.npz

GIVEN holds ``features_S``, ``target_S`` and ``test_S`` for every seed S. For each variant, epsilon
and seed the scores of the test rows are written as ``VARIANT/EPSILON/S``. A variant is
``{"rate": q, "steps": T}``: each step takes every row with probability q; q = 1 is the full batch.
Printed last: the noise multiplier of every variant and epsilon, by Opacus's PRV accountant.
"""

import json
import sys
import warnings

import numpy as np
import torch
from opacus import GradSampleModule
from opacus.accountants.utils import get_noise_multiplier
from opacus.optimizers import DPOptimizer

warnings.filterwarnings("ignore")
torch.set_num_threads(1)


def train(features, target, test, *, noise, variant, settings, seed):
    torch.manual_seed(seed)
    rows, width = features.shape
    model = GradSampleModule(torch.nn.Linear(width, 1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    optimizer = DPOptimizer(
        torch.optim.SGD(
            model.parameters(), lr=settings["learning_rate"], momentum=settings["momentum"]
        ),
        noise_multiplier=noise,
        max_grad_norm=settings["clipping_norm"],
        expected_batch_size=max(1, round(variant["rate"] * rows)),
        loss_reduction="mean",
    )
    average, averaged = [torch.zeros_like(p) for p in model.parameters()], 0
    for step in range(variant["steps"]):
        taken = (
            torch.arange(rows)
            if variant["rate"] == 1
            else torch.nonzero(torch.rand(rows) < variant["rate"]).flatten()
        )
        if not len(taken):
            continue
        optimizer.zero_grad(set_to_none=True)
        logits = model(features[taken]).squeeze(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target[taken])
        loss.backward()
        optimizer.step()
        if step >= variant["steps"] // 2:
            averaged += 1
            for held, parameter in zip(average, model.parameters(), strict=True):
                held.lerp_(parameter.detach(), 1 / averaged)
    weight, bias = average
    return (test @ weight.T + bias).squeeze(1).numpy()


def main(given_path, settings_text, out):
    settings = json.loads(settings_text)
    given, scores, noises = np.load(given_path), {}, {}
    for name, variant in settings["variants"].items():
        for epsilon in settings["epsilons"]:
            noise = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=settings["delta"],
                sample_rate=variant["rate"],
                steps=variant["steps"],
                accountant="prv",
            )
            noises[f"{name}/{epsilon}"] = noise
            for seed in range(settings["seeds"]):
                parts = (given[f"{part}_{seed}"] for part in ("features", "target", "test"))
                scores[f"{name}/{epsilon}/{seed}"] = train(
                    *(torch.tensor(part, dtype=torch.float32) for part in parts),
                    noise=noise,
                    variant=variant,
                    settings=settings,
                    seed=seed,
                )
    np.savez(out, **scores)
    print(json.dumps({"noise_multipliers": noises}))


if __name__ == "__main__":
    main(*sys.argv[1:])
