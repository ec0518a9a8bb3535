import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.training import optimizer


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("only_kernels", [False, True])
def test_a_part_is_left_undecayed(name, only_kernels):
    # Of a gradient of 0 nothing is left but the decay: 1 - 0.1 * 0.5 of a parameter.
    config = configured(name=name, learning_rate=0.1, weight_decay=0.5, decay_only_kernels=only_kernels)
    tx = optimizer.create_optimizer(config, lambda step: 0.1, ["head/expression"])
    head = {"expression": {"kernel": jnp.ones((2, 2))}, "affect": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    params = {"head": head}
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    left = jax.tree.map(lambda array: float(array.mean()), optax.apply_updates(params, updates))["head"]
    assert left["expression"]["kernel"] == 1
    assert left["affect"] == pytest.approx({"kernel": 0.95, "bias": 1 if only_kernels else 0.95})


def configured(**changes):
    config = common.get_config().optimizer
    config.update(changes)
    return config


def run(tx, gradients, start):
    """Parameters after each of the given gradients."""
    parameters, path = jnp.array(start), []
    state = tx.init(parameters)
    for gradient in gradients:
        updates, state = tx.update(jnp.array(gradient), state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        path.append(np.asarray(parameters))
    return np.array(path)


def test_sgd_is_torchs(x64):
    """buffer = gradient on the first step, then 0.9 buffer + gradient; L2 in the gradient; no dampening."""
    config = configured(learning_rate=0.1, weight_decay=0.01)
    schedule = optimizer.create_schedule(config, steps_per_epoch=100, total_steps=1000)
    gradients, parameter, buffer, expected = [[1.0], [-2.0], [0.5]], 3.0, None, []
    for (gradient,) in gradients:
        decayed = gradient + 0.01 * parameter
        buffer = decayed if buffer is None else 0.9 * buffer + decayed
        parameter -= 0.1 * buffer
        expected.append([parameter])
    np.testing.assert_allclose(
        run(optimizer.create_optimizer(config, schedule), gradients, [3.0]), expected, rtol=1e-12
    )


@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_nesterovs_momentum_is_torchs(x64, momentum):
    """torch's: buffer = momentum * buffer + g, as without; parameter -= rate * (g + momentum * buffer)."""
    config = configured(learning_rate=0.1, weight_decay=0.01, nesterov=True, momentum=momentum)
    schedule = optimizer.create_schedule(config, steps_per_epoch=100, total_steps=1000)
    gradients, parameter, buffer, expected = [[1.0], [-2.0], [0.5]], 3.0, 0.0, []
    for (gradient,) in gradients:
        decayed = gradient + 0.01 * parameter
        buffer = momentum * buffer + decayed
        parameter -= 0.1 * (decayed + momentum * buffer)
        expected.append([parameter])
    np.testing.assert_allclose(
        run(optimizer.create_optimizer(config, schedule), gradients, [3.0]), expected, rtol=1e-12
    )


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_only_kernels_are_decayed(x64, name):
    config = configured(name=name, learning_rate=0.1, weight_decay=0.5, decay_only_kernels=True)
    tx = optimizer.create_optimizer(config, optimizer.create_schedule(config, 1, 1))
    shapes = {"conv": {"kernel": (3, 3, 1, 2), "bias": (2,)}, "norm": {"scale": (2,)}, "gcn": {"layer1": (4, 2)}}
    params = {layer: {field: jnp.ones(shape) for field, shape in fields.items()} for layer, fields in shapes.items()}
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    # Of a gradient of 0, the decay is all that is left: 0.1 * 0.5.
    for layer, field, expected in (
        ("conv", "kernel", -0.05),
        ("gcn", "layer1", -0.05),
        ("conv", "bias", 0),
        ("norm", "scale", 0),
    ):
        np.testing.assert_allclose(updates[layer][field], expected, rtol=1e-12)


def test_adamw_decays_apart_from_the_gradient(x64):
    config = configured(name="adamw", learning_rate=0.1, weight_decay=0.01)
    schedule = optimizer.create_schedule(config, 100, 1000)
    (result,) = run(optimizer.create_optimizer(config, schedule), [[5.0]], [3.0])
    # The first Adam step has size 1 (up to epsilon) whatever the gradient.
    np.testing.assert_allclose(result, 3.0 - 0.1 * (1 + 0.01 * 3.0), rtol=1e-8)


def test_clipping_bounds_the_global_norm_before_anything_else():
    config = configured(learning_rate=1.0, weight_decay=0.0, clip_norm=1.0)
    tx = optimizer.create_optimizer(config, optimizer.create_schedule(config, 1, 1))
    np.testing.assert_allclose(run(tx, [[3.0, 4.0]], [0.0, 0.0]), [[-0.6, -0.8]], rtol=1e-6)


def test_the_steps_of_parts_are_scaled_and_no_others(x64):
    config = configured(learning_rate=0.1, weight_decay=0.0, rates="head=0.01, trunk/localisation=0.5")
    tx = optimizer.create_optimizer(config, optimizer.create_schedule(config, 1, 1))
    params = {
        "trunk": {"conv": {"kernel": jnp.ones(2)}, "localisation": {"fc": {"kernel": jnp.ones(2)}}},
        "head": {"gcn": {"layer1": jnp.ones(2)}},
    }
    updates, _ = tx.update(params, tx.init(params), params)
    np.testing.assert_allclose(updates["trunk"]["conv"]["kernel"], -0.1)
    np.testing.assert_allclose(updates["trunk"]["localisation"]["fc"]["kernel"], -0.05)
    np.testing.assert_allclose(updates["head"]["gcn"]["layer1"], -0.001)


def test_a_rate_of_a_part_that_is_not_there_is_refused():
    config = configured(rates="localisation=0.1")
    tx = optimizer.create_optimizer(config, lambda step: 0.1)
    with pytest.raises(UserError, match=r"optimizer.rates names localisation, where the model has no parameters"):
        tx.init({"trunk": {"localisation": {"kernel": jnp.ones(2)}}})


def test_step_schedule_drops_every_ten_epochs():
    schedule = optimizer.create_schedule(configured(), steps_per_epoch=7, total_steps=210)
    np.testing.assert_allclose([schedule(s) for s in (0, 69, 70, 139, 140)], [1e-3, 1e-3, 1e-4, 1e-4, 1e-5], rtol=1e-5)


def test_cosine_schedule_warms_up_and_ends_at_zero():
    config = configured(schedule="cosine", warmup_epochs=2.0, learning_rate=1.0)
    schedule = optimizer.create_schedule(config, steps_per_epoch=10, total_steps=120)
    expected = [0.0, 0.5, 1.0, 0.5, 0.0]
    np.testing.assert_allclose([schedule(s) for s in (0, 10, 20, 70, 120)], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("name", "optimizer.name 'rmsprop': choose one of sgd, adamw"),
        ("schedule", "'rmsprop': choose one of step, cosine"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(field, message):
    config = configured(**{field: "rmsprop"})
    with pytest.raises(UserError, match=message):
        optimizer.create_optimizer(config, optimizer.create_schedule(config, 1, 1))


def test_the_averages_decay_rises_to_the_final_one():
    def updated(step):
        return float(optimizer.update_average(jnp.array(1.0), jnp.array(2.0), 0.9, jnp.array(step)))

    assert updated(0) == pytest.approx(0.1 * 1 + 0.9 * 2)
    assert updated(8) == pytest.approx(0.5 * 1 + 0.5 * 2)  # (1 + 8) / (10 + 8)
    assert updated(10**6) == pytest.approx(0.9 * 1 + 0.1 * 2)
