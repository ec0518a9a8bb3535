import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax.models import gcn


def test_two_propagations_with_a_leaky_relu_between():
    """Two nodes, by hand: node 0 keeps half and takes half of node 1; node 1 keeps all."""
    propagation = np.array([[0.5, 0.5], [0.0, 1.0]])
    words = np.array([[2.0], [-4.0]])
    parameters = {"layer1": np.array([[1.0, -1.0]]), "layer2": np.array([[1.0], [10.0]])}
    # words @ layer1 = [[2, -2], [-4, 4]]; propagated [[-1, 1], [-4, 4]]; leaky [[-.2, 1], [-.8, 4]]
    # @ layer2 = [[9.8], [39.2]]; propagated [[24.5], [39.2]]
    np.testing.assert_allclose(gcn.node_weights(parameters, words, propagation), [[24.5], [39.2]], rtol=1e-6)


def test_initial_layers_are_uniform_within_one_over_root_of_the_output_width():
    parameters = gcn.init_parameters(jax.random.key(0), 100, 1024, jnp.float32)
    for layer, shape in (("layer1", (100, 512)), ("layer2", (512, 1024))):
        bound = 1 / np.sqrt(shape[1])
        values = np.asarray(parameters[layer])
        assert values.shape == shape
        assert np.abs(values).max() <= bound
        np.testing.assert_allclose(values.std(), bound / np.sqrt(3), rtol=0.02)
