"""DP-SGD with Opacus on pooled rows: train.py GIVEN.npz SETTINGS.json SCORES.npz

GIVEN holds ``features_S``, ``target_S`` and ``test_S`` for every seed S. A run has ``steps``, each
of which takes every row with probability ``rate`` (1 is the full batch), ``learning_rate``,
``clipping_norm``, ``epsilon`` (null: no noise) and ``noise``, the name of what its noise multiplier
depends on. The scores of the test rows are written as ``NUMBER-OF-RUN/S``. Printed last: the noise
multipliers by name, from Opacus's PRV accountant.
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


def train(features, target, test, *, noise, run, momentum, seed):
    torch.manual_seed(seed)
    rows, width = features.shape
    model = GradSampleModule(torch.nn.Linear(width, 1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    optimizer = DPOptimizer(
        torch.optim.SGD(model.parameters(), lr=run["learning_rate"], momentum=momentum),
        noise_multiplier=noise,
        max_grad_norm=run["clipping_norm"],
        expected_batch_size=max(1, round(run["rate"] * rows)),
        loss_reduction="mean",
    )
    average, averaged = [torch.zeros_like(p) for p in model.parameters()], 0
    for step in range(run["steps"]):
        taken = (
            torch.arange(rows)
            if run["rate"] == 1
            else torch.nonzero(torch.rand(rows) < run["rate"]).flatten()
        )
        if not len(taken):
            continue
        optimizer.zero_grad(set_to_none=True)
        logits = model(features[taken]).squeeze(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target[taken])
        loss.backward()
        optimizer.step()
        if step >= run["steps"] // 2:
            averaged += 1
            for held, parameter in zip(average, model.parameters(), strict=True):
                held.lerp_(parameter.detach(), 1 / averaged)
    weight, bias = average
    return (test @ weight.T + bias).squeeze(1).numpy()


def main(given_path, settings_path, out):
    with open(settings_path) as file:
        settings = json.load(file)
    given, scores, noises = np.load(given_path), {}, {}
    parts = {name: torch.tensor(given[name], dtype=torch.float32) for name in given.files}
    for number, run in enumerate(settings["runs"]):
        if run["noise"] not in noises:
            noises[run["noise"]] = (
                0.0
                if run["epsilon"] is None
                else get_noise_multiplier(
                    target_epsilon=run["epsilon"],
                    target_delta=settings["delta"],
                    sample_rate=run["rate"],
                    steps=run["steps"],
                    accountant="prv",
                )
            )
        for seed in settings["seeds"]:
            scores[f"{number}/{seed}"] = train(
                *(parts[f"{part}_{seed}"] for part in ("features", "target", "test")),
                noise=noises[run["noise"]],
                run=run,
                momentum=settings["momentum"],
                seed=seed,
            )
    np.savez(out, **scores)
    print(json.dumps({"noise_multipliers": noises}))


if __name__ == "__main__":
    main(*sys.argv[1:])
