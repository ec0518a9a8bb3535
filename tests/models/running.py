"""How the tests of trunks get variables and answers without waiting for compilers."""

import jax
import jax.numpy as jnp
import numpy as np


def random_variables(model, images_BxHxWxC):
    """A trunk's parameters and running statistics, far from their initial values; nothing is compiled for them."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images_BxHxWxC, False))
    rng = np.random.default_rng(0)

    def draw(path, shape):
        about = 1.0 if path[-1].key in ("var", "scale") else 0.0
        return jnp.asarray(about + rng.uniform(-0.5, 0.5, shape.shape), shape.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def run_once(function, *arguments):
    """What a function returns, compiled without optimisation: compiling is most of the work of a single call."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})(*arguments)
