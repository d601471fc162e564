import numpy as np
import pytest
from safetensors.numpy import load

from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.training.server import ServerState, released_parameters, server_step
from federated.wire.job import FedSGD, ServerAdam, ServerMomentum, ServerSGD

PRIVACY = PrivacyConfig(units=256, clipping_norm=2.0).spec(rounds=4, minimum_cohort=3, dimension=3)
MOMENTUM = ServerMomentum(learning_rate=0.5, momentum=0.9)
STRATEGY = FedSGD(rounds=4, average_from=2, server_optimizer=MOMENTUM)


def step(state, values, optimizer=MOMENTUM):
    strategy = STRATEGY.model_copy(update={"server_optimizer": optimizer})
    return server_step(state, values, strategy=strategy, privacy=PRIVACY, denominator=10)


def test_a_step_by_hand():
    first = step(ServerState.initial(np.array([1.0, 0.0, 0.0])), [1280, -1280, 0])
    assert first.moments["velocity"].tolist() == [1.0, -1.0, 0.0]
    assert first.parameters.tolist() == [0.5, 0.5, 0.0]
    second = step(first, [0, 0, 1280])
    assert second.moments["velocity"].tolist() == [0.9, -0.9, 1.0]
    assert second.parameters == pytest.approx([0.05, 0.95, -0.5])
    assert second.step == 2


def test_the_release_is_the_mean_of_the_later_iterates():
    state, iterates = ServerState.initial(np.zeros(3)), []
    for values in ([300, 7, -2], [11, -900, 5], [1, 2, 3], [-400, 50, 60]):
        state = step(state, values)
        iterates.append(state.parameters)
        if state.step <= STRATEGY.average_from:
            assert (released_parameters(state, STRATEGY) == state.parameters).all()
    np.testing.assert_allclose(
        released_parameters(state, STRATEGY), np.mean(iterates[2:], axis=0), rtol=1e-14
    )


def test_the_bytes_are_pinned_and_read_by_safetensors():
    state = step(ServerState.initial(np.array([0.25, -1.0, 3.0])), [100, -7, 1])
    assert state.digest() == ("c652e866ed76b249f5ebabeb1a5c32ff25754771d99ec7957f262090dbc74a11")
    tensors = load(state.to_bytes())
    assert tensors["step"].tolist() == [1]
    assert (tensors["velocity"] == state.moments["velocity"]).all()


def test_bytes_round_trip_through_every_step():
    state = ServerState.initial(np.linspace(-1, 1, 25))
    for count in range(3):
        again = ServerState.from_bytes(state.to_bytes())
        assert (again.step, again.digest()) == (count, state.digest())
        values = list(range(-12, 13))
        assert step(again, values).to_bytes() == step(state, values).to_bytes()
        state = step(state, values)


def changed(data, **tensors):
    from safetensors.numpy import save

    return save({**load(data), **tensors})


@pytest.mark.parametrize(
    "break_it",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:8] + b"[" + data[9:],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data.replace(b"velocity", b"velocitx"),
        lambda data: data.replace(b'"F64"', b'"I64"', 1),
        lambda data: changed(data, step=np.array([-1])),
        lambda data: changed(data, velocity=np.array([0.0, np.nan, 0.0])),
        lambda data: changed(data, velocity=np.zeros(4)),
        lambda data: changed(data, extra=np.zeros(3)),
        lambda data: changed(data, step=np.array([0])),
        lambda data: changed(data, first_moment=np.zeros(3)),
    ],
)
def test_malformed_bytes_are_refused(break_it):
    data = step(ServerState.initial(np.zeros(3)), [1, 2, 3]).to_bytes()
    assert ServerState.from_bytes(data)
    with pytest.raises(InvalidInput, match="server state"):
        ServerState.from_bytes(break_it(data))


@pytest.mark.parametrize(
    ("values", "reason"),
    [([1, 2], "2 of them, the model has 3"), ([0, 0, 2**53 + 1], "beyond 2")],
)
def test_values_that_do_not_fit_are_refused(values, reason):
    with pytest.raises(InvalidInput, match=reason):
        step(ServerState.initial(np.zeros(3)), values)


def test_a_state_begins_finite():
    with pytest.raises(InvalidInput, match="finite"):
        ServerState.initial(np.array([0.0, np.inf]))


def test_adam_is_the_papers_by_hand():
    adam = ServerAdam(learning_rate=0.1, beta1=0.5, beta2=0.75, tau=0.5)
    first = step(ServerState.initial(np.zeros(3)), [1280, 0, -2560], adam)  # g = 1, 0, -2
    assert first.moments["first_moment"].tolist() == [0.5, 0.0, -1.0]
    assert first.moments["second_moment"].tolist() == [0.4375, 0.1875, 1.1875]
    moved = [-0.05 / (0.4375**0.5 + 0.5), 0.0, 0.1 / (1.1875**0.5 + 0.5)]
    assert first.parameters == pytest.approx(moved, rel=1e-15)


def test_sgd_keeps_no_moments():
    state = step(ServerState.initial(np.zeros(3)), [1280, 0, -1280], ServerSGD(learning_rate=0.5))
    assert state.parameters.tolist() == [-0.5, 0.0, 0.5]
    assert state.moments == {}
    assert ServerState.from_bytes(state.to_bytes()).digest() == state.digest()


@pytest.mark.parametrize("optimizer", [ServerSGD(), ServerAdam(), MOMENTUM], ids=lambda o: o.kind)
def test_another_optimizers_state_is_refused(optimizer):
    other = ServerAdam() if optimizer is MOMENTUM else MOMENTUM
    state = step(ServerState.initial(np.zeros(3)), [1, 2, 3], other)
    with pytest.raises(InvalidInput, match=f"moments are .*; server optimizer {optimizer.kind}"):
        step(state, [1, 2, 3], optimizer)


def test_a_step_out_of_the_finite_numbers_is_refused():
    huge = ServerSGD(learning_rate=2.0**52)
    state = ServerState.initial(np.full(3, 1.7e308))
    with pytest.raises(InvalidInput, match="lower the learning rate"):
        server_step(
            state,
            [-(2**53)] * 3,
            strategy=STRATEGY.model_copy(update={"server_optimizer": huge}),
            privacy=PRIVACY.model_copy(update={"clipping_norm": 2.0**1000}),
            denominator=1,
        )
