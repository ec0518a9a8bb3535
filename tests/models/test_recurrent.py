"""Gated recurrent units by hand: the spec's numbers, and every equation written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emotion_gcn_jax.models.recurrent import CELLS, Recurrent, TwoStreams

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("reset", "expected"), [("after", (0.5, 0.131320)), ("before", (0.5, 0.311856))])
def test_one_step_by_the_specification(reset, expected):
    """Aff-Wild2 spec, section 5: x = 0, h = (1, 0), r = (.731059, .268941), z = .5, U swaps the two units."""
    cell = CELLS[reset](2)
    h = jnp.array([[1.0, 0.0]])
    params = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), h, jnp.zeros((1, 1))))["params"]
    params["ir"]["bias"] = jnp.array([1.0, -1.0])  # sigmoid(1) = .731059
    params["hn"]["kernel"] = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    state, _ = cell.apply({"params": params}, h, jnp.zeros((1, 1)))
    np.testing.assert_allclose(state[0], expected, atol=1e-6)


def by_hand(params, x_TxD, reset, np=np):
    """One clip through one layer, in NumPy or in JAX's."""
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731

    def of(name, value):
        return value @ params[name]["kernel"] + params[name].get("bias", 0)

    h, states = np.zeros(params["hn"]["kernel"].shape[0]), []
    for x in x_TxD:
        r, z = sigmoid(of("ir", x) + of("hr", h)), sigmoid(of("iz", x) + of("hz", h))
        n = np.tanh(of("in", x) + (r * of("hn", h) if reset == "after" else of("hn", r * h)))
        h = (1 - z) * n + z * h
        states.append(h)
    return np.stack(states)


@pytest.mark.parametrize("reset", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_layers_over_two_clips(reset, bidirectional):
    net = Recurrent((3, 2), reset, bidirectional)
    x = RNG.normal(size=(8, 5)).astype(np.float32)
    params = jax.tree.map(
        lambda a: a + RNG.normal(size=a.shape).astype(np.float32), net.init(jax.random.key(0), x, 4)["params"]
    )
    found = net.apply({"params": params}, x, 4)
    clips = [x[:4], x[4:]]  # the state is 0 before each
    for number in (1, 2):
        ahead = [by_hand(params[f"layer{number}"], clip, reset) for clip in clips]
        if bidirectional:
            back = [by_hand(params[f"backward{number}"], clip[::-1], reset)[::-1] for clip in clips]
            ahead = [np.concatenate(both, axis=1) for both in zip(ahead, back, strict=True)]
        clips = ahead
    np.testing.assert_allclose(found, np.concatenate(clips), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reset", CELLS)
def test_a_layer_s_answers_and_gradients_in_float64(x64, reset):
    net, x = Recurrent((3,), reset, param_dtype=jnp.float64), RNG.normal(size=(6, 5))
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), x, 6))["params"]
    params = jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape), shapes)

    def ours(params):
        return jnp.sin(net.apply({"params": params}, x, 6))

    def written_out(params):
        return jnp.sin(by_hand(params["layer1"], jnp.asarray(x), reset, jnp))

    np.testing.assert_allclose(ours(params), written_out(params), rtol=1e-12)
    found, expected = (jax.grad(lambda p, f=f: f(p).sum())(params) for f in (ours, written_out))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12), found, expected)


def test_frame_by_frame_it_is_the_whole_clip():
    net, x = Recurrent((3, 2)), RNG.normal(size=(8, 5)).astype(np.float32)  # two clips of four frames
    variables = net.init(jax.random.key(0), x, 4)
    state, found = None, []
    for frame in range(4):
        out, state = net.apply(variables, x[[frame, 4 + frame]], 1, state, method=net.go_on)
        found.append(out)
    whole, after = net.apply(variables, x, 4, method=net.go_on)
    np.testing.assert_allclose(np.stack(found, 1).reshape(8, 2), whole, rtol=1e-5, atol=1e-6)
    assert [layer.shape for layer in after] == [(2, 3), (2, 2)]
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), state, after)


def test_two_streams():
    """Each is written out; the ear's is 0 where nothing is heard, and goes on through it. So it is frame by frame."""
    net = TwoStreams(Recurrent((3,)), Recurrent((2,)), heard_width=2)
    x = RNG.normal(size=(8, 5)).astype(np.float32)  # two clips of four frames; of three numbers seen and two heard
    x[[2, 3], 3:] = 0
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), x, 4))
    variables = jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape).astype(np.float32), shapes)
    eye, ear = (variables["params"][name]["layer1"] for name in ("eye", "ear"))
    whole, after = jax.jit(lambda frames: net.apply(variables, frames, 4, method=net.go_on))(x)
    for clip in (slice(0, 4), slice(4, 8)):
        heard = by_hand(ear, x[clip, 3:], "after") * x[clip, 3:].any(axis=1, keepdims=True)
        expected = np.concatenate([by_hand(eye, x[clip, :3], "after"), heard], axis=1)
        np.testing.assert_allclose(whole[clip], expected, rtol=1e-5, atol=1e-6)
    assert not whole[2:4, 3:].any() and whole[4:, 3:].all()

    state, found = tuple(jnp.stack([zeros, zeros]) for zeros in net.zero_state()), []
    step = jax.jit(lambda frames, state: net.apply(variables, frames, 1, state, method=net.go_on))
    for frame in range(4):
        out, state = step(x[[frame, 4 + frame]], state)
        found.append(out)
    np.testing.assert_allclose(np.stack(found, 1).reshape(8, 5), whole, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), state, after)


@pytest.mark.parametrize(("reset", "count"), [("after", 1_721_344), ("before", 1_721_088)])
def test_the_specified_numbers_of_parameters(reset, count):
    shapes = jax.eval_shape(lambda: Recurrent((128, 128), reset).init(jax.random.key(0), jnp.zeros((2, 4096)), 2))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count
