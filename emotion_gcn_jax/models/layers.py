"""The layers that trunks share: batch normalisation over the global batch, convolutions, dropout, a cheap max pool.

Two habits keep training fast. A normalisation does not compute the moments of its input but is handed them, because in
a DenseNet the same feature map passes through dozens of norms and its moments never change; in inference there are no
moments, and `None` in their place means "use the running statistics". And convolutions whose gradients are slow on a
CPU are matrix products there (products.py).

The functions that are jitted here are written as one operator each by onnx_writer/onnx_operators.py.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from emotion_gcn_jax.models import products
from emotion_gcn_jax.trees import Dtype

NORM_EPSILON = 1e-5  # Emotion-GCN spec: torch's default, in both trunks
NORM_MOMENTUM = 0.9  # weight of the old running average; torch writes it as momentum 0.1

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")  # torchvision's, of ResNet and VGG
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # U(+-1 / sqrt(fan_in)), torch's default

EXAMPLES = "examples"
"""The stream of random numbers that a training step gives to its modules; `example_keys` makes the keys of it."""

OBSERVED = "observed"
"""The collection of what modules show of themselves while a model is evaluated; see `observe`."""


class Moments(NamedTuple):
    """Per-channel moments of a feature map over the global batch and all positions.

    Attributes:
        mean_C: the means.
        var_C: the biased (population) variances, which normalise.
        bessel: N / (N - 1) of N averaged values: times var_C it is the unbiased variance of the running statistic.
    """

    mean_C: jax.Array
    var_C: jax.Array
    bessel: jax.Array


_counted: contextvars.ContextVar[jax.Array | None] = contextvars.ContextVar("counted", default=None)

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"relu": nn.relu, "elu": nn.elu, "none": lambda x: x}
"""By a trunk's ACTIVATION what its last map goes through (emotion_net.py)."""


def uniform(bound: float) -> nn.initializers.Initializer:
    """An initialiser that draws from U(-bound, bound)."""

    def init(key: jax.Array, shape: Sequence[int], dtype: Dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


@contextlib.contextmanager
def moments_over(counted_B: jax.Array | None) -> Iterator[None]:
    """Within, `batch_moments` leaves out some examples, whichever module asks; what it returns normalises all the same.

    Args:
        counted_B: bool, which examples of this device's share of the batch count; None is all.
    """
    token = _counted.set(counted_B)
    try:
        yield
    finally:
        _counted.reset(token)


def batch_moments(x_BxHxWxC: jax.Array, axis_name: str | None) -> Moments:
    """The moments of a feature map, in at least float32, over all examples or those of `moments_over`.

    Args:
        x_BxHxWxC: this device's share of the feature map; or of features, B x C.
        axis_name: the mapped axis whose devices hold equal shares of one global batch; None on a single device.

    Returns:
        Moments of the global batch, the same on every device.
    """
    x = x_BxHxWxC.astype(jnp.promote_types(x_BxHxWxC.dtype, jnp.float32))
    axes = tuple(range(x.ndim - 1))
    if (counted_B := _counted.get()) is not None:
        return _counted_moments(x, counted_B, axis_name)
    mean_2xC = jnp.stack([x.mean(axes), (x * x).mean(axes)])
    devices = 1 if axis_name is None else lax.psum(1, axis_name)
    if devices > 1:
        mean_2xC = lax.pmean(mean_2xC, axis_name)
    mean_C, mean_square_C = mean_2xC
    count = devices * math.prod(x.shape[:-1])
    var_C = jnp.maximum(mean_square_C - mean_C * mean_C, 0.0)
    return Moments(mean_C, var_C, jnp.asarray(count / max(count - 1, 1), var_C.dtype))


def _counted_moments(x_BxHxWxC: jax.Array, counted_B: jax.Array, axis_name: str | None) -> Moments:
    """The same over some examples, of which every device may have another number; over all where none is."""
    axes, number = tuple(range(x_BxHxWxC.ndim - 1)), counted_B.sum()
    if axis_name is not None:
        number = lax.psum(number, axis_name)
    counted_B = counted_B | (number == 0)
    x = jnp.where(counted_B.reshape(-1, *[1] * (x_BxHxWxC.ndim - 1)), x_BxHxWxC, 0)
    sums_2xC, count = jnp.stack([x.sum(axes), (x * x).sum(axes)]), counted_B.sum(dtype=x.dtype)
    if axis_name is not None:
        sums_2xC, count = lax.psum((sums_2xC, count), axis_name)
    count = count * math.prod(x.shape[1:-1])
    mean_C, mean_square_C = sums_2xC / count
    return Moments(mean_C, jnp.maximum(mean_square_C - mean_C * mean_C, 0.0), count / jnp.maximum(count - 1, 1))


def concatenate_moments(moments: Sequence[Moments]) -> Moments:
    """The moments of feature maps of equal size, concatenated along their channels."""
    mean_C, var_C = (jnp.concatenate([getattr(m, name) for m in moments]) for name in ("mean_C", "var_C"))
    return Moments(mean_C, var_C, moments[0].bessel)


class BatchNorm(nn.Module):
    """Batch normalisation that is handed its input's moments.

    As torch, and unlike flax.linen.BatchNorm, it keeps the *unbiased* variance as running statistic, so that training
    follows the PyTorch model step by step.

    Attributes:
        dtype: of what it returns.
        param_dtype: of parameters and running statistics.
        has_scale: whether there is a trained factor for every channel; else it is 1.
    """

    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    has_scale: bool = True

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, moments: Moments | None) -> jax.Array:
        """Normalises B x H x W x C, or B x C.

        It goes by `moments`, and updates the running statistics, or by those when `moments` is None.
        """
        channels = (x_BxHxWxC.shape[-1],)
        scale_C: jax.Array | float = 1.0
        if self.has_scale:
            scale_C = self.param("scale", nn.initializers.ones, channels, self.param_dtype)
        bias_C = self.param("bias", nn.initializers.zeros, channels, self.param_dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, self.param_dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, self.param_dtype)
        if moments is None:
            mean_C, var_C = running_mean.value, running_var.value
        else:
            mean_C, var_C = moments.mean_C, moments.var_C
            running_mean.value = _running(running_mean.value, mean_C)
            running_var.value = _running(running_var.value, var_C * moments.bessel)
        factor_C = scale_C * lax.rsqrt(var_C + NORM_EPSILON)
        return (x_BxHxWxC * factor_C + (bias_C - mean_C * factor_C)).astype(self.dtype)


class PointwiseConv(nn.Module):
    """A 1x1 convolution as a matrix product.

    Attributes:
        features: output channels.
        bias: whether a bias is added; it starts at 0.
        kernel_init: the kernel's initialiser.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    bias: bool = False
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns B x H x W x features."""
        kernel_CxF = self.param("kernel", self.kernel_init, (x_BxHxWxC.shape[-1], self.features), self.param_dtype)
        y_BxHxWxF = products.pointwise(x_BxHxWxC.astype(self.dtype), kernel_CxF.astype(self.dtype))
        if not self.bias:
            return y_BxHxWxF
        bias_F = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
        return y_BxHxWxF + bias_F.astype(self.dtype)


class Conv(nn.Module):
    """A square convolution with as many zeros on each side, as torch pads it.

    (Padding "SAME" is lopsided for an even input and stride 2.)

    Attributes:
        features: output channels.
        size: the kernel's side, odd.
        stride: in both directions.
        margin: the zeros; None is `size // 2`.
        bias: whether a bias is added.
        kernel_init: the kernel's initialiser.
        bias_init: the bias's; None is U(+-1 / sqrt(fan_in)), torch's default.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    size: int
    stride: int = 1
    margin: int | None = None
    bias: bool = False
    kernel_init: nn.initializers.Initializer = he_normal
    bias_init: nn.initializers.Initializer | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns B x ceil(H / stride) x ceil(W / stride) x features (with the usual margin)."""
        shape = (self.size, self.size, x_BxHxWxC.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        x_BxHxWxC, kernel = x_BxHxWxC.astype(self.dtype), kernel.astype(self.dtype)
        y_BxHxWxF = products.conv(x_BxHxWxC, kernel, self.stride, self.margin)
        if not self.bias:
            return y_BxHxWxF
        bias_init = self.bias_init or uniform(1 / math.sqrt(math.prod(shape[:3])))
        bias_F = self.param("bias", bias_init, (self.features,), self.param_dtype)
        return y_BxHxWxF + bias_F.astype(self.dtype)


class Dropout(nn.Module):
    """Sets values to 0 at random in training, and divides the others by the share that is left.

    What is dropped of an example does not depend on the number of devices. (Flax's own Dropout would draw the same for
    every device's share of the batch; it finds no random numbers here.)

    Attributes:
        rate: the share that is dropped, in [0, 1).
        axis_name: the mapped axis over which one global batch is spread; None on a single device.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Returns values of the same shape, B x ..., and dtype; without `train` the same values."""
        if not train or not self.rate:
            return x
        kept = jnp.float32(1 - self.rate)  # what is drawn does not depend on JAX's default
        keys_B = example_keys(self, x.shape[0], self.axis_name)
        is_kept = jax.vmap(lambda key: jax.random.bernoulli(key, kept, x.shape[1:]))(keys_B)
        return jnp.where(is_kept, x / (1 - self.rate), 0)


def example_keys(module: nn.Module, count: int, axis_name: str | None) -> jax.Array:
    """A key for each example of this device's share of a training batch, for whatever a module does at random.

    It depends on the seed, the step, the module, how often the module has asked, and the example's position in the
    global batch: so any number of devices draws the same.

    Args:
        module: the one that asks, while it is applied with the stream EXAMPLES.
        count: the examples of this device's share.
        axis_name: the mapped axis over which the global batch is spread; None on a single device.

    Returns:
        `count` keys.
    """
    first = 0 if axis_name is None else lax.axis_index(axis_name) * count
    fold_in = functools.partial(jax.random.fold_in, module.make_rng(EXAMPLES))
    return jax.vmap(fold_in)(first + jnp.arange(count))


def observe(module: nn.Module, name: str, values_Bx: Callable[[], jax.Array]) -> None:
    """Shows numbers of a module to whoever evaluates the model and asks for OBSERVED; else nothing is computed.

    A trunk's `diagnose` gets them, of all examples of the validation split.

    Args:
        module: whose numbers they are.
        name: new in the module.
        values_Bx: makes a few numbers for each example; their first axis is the batch's.
    """
    if module.is_mutable_collection(OBSERVED) and not module.is_initializing():
        module.sow(OBSERVED, name, values_Bx(), init_fn=lambda: None, reduce_fn=lambda _, new: new)


def refuse_to_train_folded(folded: bool, train: bool) -> None:
    """Raises ValueError where a folded trunk is asked to train: some of its norms are no longer there."""
    if folded and train:
        raise ValueError("A folded model is for inference only: train the model that it was folded from.")


@jax.jit
def max_pool_3x3(x_BxHxWxC: jax.Array) -> jax.Array:
    """3x3 max pool with stride 2 and a margin of 1 (of -inf), as torchvision's networks have it.

    Returns:
        B x ceil(H / 2) x ceil(W / 2) x C.
    """
    return _max_pool_3x3(x_BxHxWxC, [(1, (side + 1) // 2) for side in x_BxHxWxC.shape[1:3]])


@jax.jit
def max_pool_3x3_ceil(x_BxHxWxC: jax.Array) -> jax.Array:
    """The same without a margin, whose last window may reach beyond the map: Caffe's, and torch's ceil_mode.

    Returns:
        B x floor(H / 2) x floor(W / 2) x C, for sides from 2 up.
    """
    return _max_pool_3x3(x_BxHxWxC, [(0, side // 2) for side in x_BxHxWxC.shape[1:3]])


@jax.jit
def max_pool_3x3_same(x_BxHxWxC: jax.Array) -> jax.Array:
    """The same as TensorFlow's SAME places it: a margin of 1, but none before an even side.

    Returns:
        B x ceil(H / 2) x ceil(W / 2) x C.
    """
    return _max_pool_3x3(x_BxHxWxC, [(side % 2, (side + 1) // 2) for side in x_BxHxWxC.shape[1:3]])


def _max_pool_3x3(x_BxHxWxC: jax.Array, sides: Sequence[tuple[int, int]]) -> jax.Array:
    """Maxima of strided slices; `sides` has the margin before each side, and how many windows it has.

    The gradient of a windowed reduction (select-and-scatter) runs on one thread of a CPU; that of maxima does not.
    """
    ends = [
        (before, max(2 * count + 1 - side - before, 0))
        for (before, count), side in zip(sides, x_BxHxWxC.shape[1:3], strict=True)
    ]
    x = jnp.pad(x_BxHxWxC, ((0, 0), *ends, (0, 0)), constant_values=-jnp.inf)
    rows, columns = (count for _, count in sides)
    x = functools.reduce(jnp.maximum, [x[:, i : i + 2 * rows - 1 : 2] for i in range(3)])
    return functools.reduce(jnp.maximum, [x[:, :, i : i + 2 * columns - 1 : 2] for i in range(3)])


@jax.jit
def average_pool_2x2(x_BxHxWxC: jax.Array) -> jax.Array:
    """2x2 average pool with stride 2; an odd last row or column is dropped, as torch does."""
    batch, rows, columns, channels = x_BxHxWxC.shape
    x = x_BxHxWxC[:, : rows // 2 * 2, : columns // 2 * 2]
    return x.reshape(batch, rows // 2, 2, columns // 2, 2, channels).mean((2, 4))


def _running(old_C: jax.Array, new_C: jax.Array) -> jax.Array:
    return NORM_MOMENTUM * old_C + (1 - NORM_MOMENTUM) * lax.stop_gradient(new_C).astype(old_C.dtype)
