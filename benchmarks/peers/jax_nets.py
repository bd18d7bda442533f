"""The nets in JAX, under PyTorch's parameter names: with XLA's convolutions, and rewritten as matrix products.

Letters of the shapes: N images, C channels, H × W pixels, F filters.
"""

import jax
import jax.numpy as jnp
from jax import lax

Weights = dict[str, jax.Array]
BLOCKS = ("block1", "block2", "block3", "block4")
EPS = 1e-5
"""of PyTorch's batch norm"""


def mlp(phi: Weights, x: jax.Array) -> jax.Array:
    """Values `[N, 1]` of `x: [N, 1]`."""
    for layer in ("1", "3"):
        x = jax.nn.relu(x @ phi[f"{layer}.weight"].T + phi[f"{layer}.bias"])
    return x @ phi["5.weight"].T + phi["5.bias"]


def conv4(phi: Weights, x: jax.Array) -> jax.Array:
    """Logits of `x: [N, C, H, W]`, as one would write it first: `lax.conv`, `lax.reduce_window`."""
    for block in BLOCKS:
        x = lax.conv_general_dilated(x, phi[f"{block}.conv.weight"], (1, 1), "SAME")
        x = x + phi[f"{block}.conv.bias"][:, None, None]
        x = _batch_norm(x, phi, block, over=(0, 2, 3), shape=(-1, 1, 1))
        x = lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return x.reshape(len(x), -1) @ phi["head.weight"].T + phi["head.bias"]


def conv4_rewritten(phi: Weights, x: jax.Array) -> jax.Array:
    """The same with channels last: patches × matrix for a convolution, maxima of slices for a pool, ReLU after it."""
    x = x.transpose(0, 2, 3, 1)  # [N, H, W, C]
    for block in BLOCKS:
        x = _patches(x) @ _matrix(phi[f"{block}.conv.weight"]) + phi[f"{block}.conv.bias"]
        x = _batch_norm(x, phi, block, over=(0, 1, 2), shape=(-1,))
        x = jax.nn.relu(_pool(x))
    return x.reshape(len(x), -1) @ phi["head.weight"].T + phi["head.bias"]


def _batch_norm(x: jax.Array, phi: Weights, block: str, *, over: tuple[int, ...], shape: tuple[int, ...]) -> jax.Array:
    mean, variance = x.mean(over, keepdims=True), x.var(over, keepdims=True)
    scale = lax.rsqrt(variance + EPS) * phi[f"{block}.norm.weight"].reshape(shape)
    return (x - mean) * scale + phi[f"{block}.norm.bias"].reshape(shape)


def _patches(x: jax.Array) -> jax.Array:
    """`[N, H, W, 9C]`: the 3×3 neighbourhood of every pixel of `x: [N, H, W, C]`."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)


def _matrix(weight: jax.Array) -> jax.Array:
    """`[9C, F]` of a kernel `[F, C, 3, 3]`."""
    return weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))


def _pool(x: jax.Array) -> jax.Array:
    """2×2 maxima `[N, H // 2, W // 2, C]`, a last odd row and column dropped.

    By pairs: the gradient of `max` over axes divides by the number of elements that equal the maximum, and with XLA
    that gave NaN in second order.
    """
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    rows = jnp.maximum(x[:, 0:height:2], x[:, 1:height:2])
    return jnp.maximum(rows[:, :, 0:width:2], rows[:, :, 1:width:2])
