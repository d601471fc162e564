"""The Flower server: FedAvg over all clients, no evaluation, the end of every round noted."""

import json
import time
from pathlib import Path

from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow

from toyapp import toy

app = ServerApp()


class Noting(FedAvg):
    """FedAvg that notes when each round's average is there, and the model."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.marks, self.model = [], None

    def aggregate_fit(self, server_round, results, failures):
        if failures:
            raise RuntimeError(f"round {server_round}: {failures}")
        released = super().aggregate_fit(server_round, results, failures)
        self.marks.append(time.time())
        self.model = parameters_to_ndarrays(released[0])[0]
        return released


@app.main()
def main(grid, context):
    config = context.run_config
    clients = int(config["clients"])
    strategy = Noting(
        fraction_fit=1.0,
        min_fit_clients=clients,
        min_available_clients=clients,
        fraction_evaluate=0.0,
        initial_parameters=ndarrays_to_parameters([toy.initial(int(config["parameters"]))]),
    )
    secure = SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2)
    workflow = DefaultWorkflow(fit_workflow=secure if config["secure"] else None)
    workflow(
        grid,
        LegacyContext(context, ServerConfig(num_rounds=int(config["rounds"])), strategy),
    )
    report = {
        "marks": strategy.marks,
        "accuracy": toy.accuracy(strategy.model, clients),
    }
    Path(config["report"]).write_text(json.dumps(report))
