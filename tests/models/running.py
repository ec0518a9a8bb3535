"""How the tests of models get them, their variables, and answers without waiting for compilers."""

import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax import presets
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.tasks import registry


def tasks_of(model, vocabulary=None):
    """The tasks of a preset, with classes of one's own if some are given."""
    fields = presets.tasks(model)
    if vocabulary:
        fields["expression"]["vocabulary"] = ",".join(vocabulary)
    return registry.from_config(fields)


def create(trunk, model, *, vocabulary=None, **options):
    """A preset on a trunk."""
    preset = presets.preset(model)
    between = {name: getattr(preset, name) for name in ("hidden", "dropout", "embedding", "recurrent", "hearing")}
    options = {"head": preset.head, "readout": presets.readout(trunk, model), **between, **options}
    return emotion_net.create_model(trunk, tasks_of(model, vocabulary), **options)


def random_variables(model, images_BxHxWxC):
    """Parameters, running statistics and constants, far from their initial values; nothing is compiled for them."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images_BxHxWxC, False))
    rng = np.random.default_rng(0)

    def draw(path, shape):
        about = 1.0 if path[-1].key in ("var", "scale", "a") else 0.0
        return jnp.asarray(about + rng.uniform(-0.5, 0.5, shape.shape), shape.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def run_once(function, *arguments):
    """What a function returns, compiled without optimisation: compiling is most of the work of a single call."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})(*arguments)
