"""The toy task that every peer trains: a logistic regression of 25 parameters, numpy alone.

Its local training takes well under a millisecond, so that a round's seconds are the system's own.
"""

import numpy as np

FEATURES = 24
RECORDS = 200
RATE = 0.5


def initial(parameters: int = FEATURES + 1) -> np.ndarray:
    """The starting parameters: 24 weights, a bias, and as many more that travel unchanged."""
    return np.zeros(parameters)


def data(client: int) -> tuple[np.ndarray, np.ndarray]:
    """One client's rows, shape (200, 25) with a column of ones, and its binary targets."""
    rng = np.random.default_rng(client)
    rows = np.hstack([rng.uniform(-1, 1, (RECORDS, FEATURES)), np.ones((RECORDS, 1))])
    return rows, (rows[:, :3].sum(axis=1) > 0).astype(float)


def step(parameters: np.ndarray, client: int) -> np.ndarray:
    """One full-batch gradient step on the client's rows."""
    rows, target = data(client)
    used = parameters[: FEATURES + 1]
    predicted = 1 / (1 + np.exp(-rows @ used))
    stepped = parameters.copy()
    stepped[: FEATURES + 1] = used - RATE * rows.T @ (predicted - target) / len(target)
    return stepped


def accuracy(parameters: np.ndarray, clients: int) -> float:
    """Accuracy on all clients' rows: says that the rounds did train."""
    used = parameters[: FEATURES + 1]
    hits = [((data(c)[0] @ used > 0) == data(c)[1]).mean() for c in range(clients)]
    return float(np.mean(hits))
