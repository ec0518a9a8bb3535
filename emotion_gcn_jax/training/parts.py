"""Parts of a model that training treats in their own way, by their places among its parameters.

A part is a path: "head", "trunk/localisation", "head/expression/kernel". It has all arrays whose own paths begin with
it. A config gives numbers to parts as PART=NUMBER, with commas between several.
"""

import math

import jax
import jax.numpy as jnp
from flax import traverse_util

from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.trees import Tree

Parts = tuple[tuple[str, float], ...]
"""(part, number) pairs."""


def read(text: str, field: str) -> Parts:
    """Reads what a config says of parts.

    Args:
        text: "trunk/localisation=0.1,head=0.5"; "" is nothing.
        field: the config's field, for messages: "optimizer.rates".

    Raises:
        UserError: it is not written so, or a number is negative or not finite.
    """
    return tuple(_read_one(entry.strip(), field) for entry in text.split(",") if entry.strip())


def mask(params: Tree, part: str, field: str, *, kernels: bool = False) -> Tree:
    """Tells of every array whether it belongs to a part: the same tree, of booleans.

    Args:
        params: a model's parameters.
        part: see the module.
        field: the config's field that names it, for messages.
        kernels: leave out what has one axis: biases, and the factors of norms.

    Raises:
        UserError: no array does.
    """
    names = tuple(part.split("/"))
    flat = traverse_util.flatten_dict(params)
    eligible = [path for path, array in flat.items() if array.ndim > 1 or not kernels]
    chosen = {path for path in eligible if path[: len(names)] == names}
    if not chosen:
        known = listed(dict.fromkeys("/".join(path[:depth]) for depth in (1, 2) for path in eligible))
        what = "kernels" if kernels else "parameters"
        raise UserError(f"config.{field} names {part}, where the model has no {what}: choose a part such as {known}.")
    return traverse_util.unflatten_dict({path: path in chosen for path in flat})


def sum_of_squares(params: Tree, parts: Parts) -> jax.Array:
    """The sum over the parts of their number times the squares of all their kernels (arrays of two axes or more).

    Raises:
        UserError: a part has no kernel.
    """
    total = jnp.zeros(())
    for part, number in parts:
        chosen = mask(params, part, "optimizer.l2", kernels=True)
        squares = jax.tree.map(lambda array, is_chosen: jnp.sum(array**2) if is_chosen else 0.0, params, chosen)
        total += number * sum(jax.tree.leaves(squares))
    return total


def _read_one(entry: str, field: str) -> tuple[str, float]:
    part, _, number = entry.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not part or not 0 <= value < math.inf:
        raise UserError(
            f"config.{field} is written PART=NUMBER, with commas between several and numbers from 0 up, such as "
            f"trunk=0.1,head=0.5; found {entry!r}."
        )
    return part, value
