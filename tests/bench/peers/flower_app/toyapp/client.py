"""The Flower client; its mods apply SecAgg+ only when the run asks for it."""

from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import secaggplus_mod

from toyapp import toy


class ToyClient(NumPyClient):
    def __init__(self, client):
        self.client = client

    def fit(self, parameters, config):
        return [toy.step(parameters[0], self.client)], toy.RECORDS, {}


def client_fn(context):
    return ToyClient(int(context.node_config["partition-id"])).to_client()


def secure_if_asked(message, context, call_next):
    """SecAgg+ for a secure run, nothing for a run in the clear: one app serves both."""
    if context.run_config["secure"]:
        return secaggplus_mod(message, context, call_next)
    return call_next(message, context)


app = ClientApp(client_fn=client_fn, mods=[secure_if_asked])
