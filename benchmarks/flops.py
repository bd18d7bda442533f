"""What an exact method has to multiply, per example: the floor under every workload.

Counted are the multiply-adds of convolutions and linear layers, done directly (no Winograd or Fourier transform);
normalisation, activations, pooling and optimizers are free. Let m be a layer's multiply-adds for one example. Its
output y = W·x is bilinear, and so are the two products that its gradient takes, dW = dy·x and dx = W·dy, each again
m multiply-adds.

- Forward: m.
- Forward and gradient: 3m. The first layer has no dx, for nobody asks for the gradient of the images: 2m.
- Forward, gradient and the product of a vector with the Hessian, by which the meta-gradient is pulled back through one
  inner step: each of the three products is differentiated in both of its factors, which adds 2 · 3m: 9m. Forward over
  reverse counts the same. In the first layer x is constant and there is no dx, so that dW is differentiated in dy
  alone and y in W alone: 2m + 2m = 4m. (PyTorch's autograd takes 5m there if it is a convolution: its double backward
  also multiplies for the gradient of the images, which nobody asked for. That is under half a percent of a workload.)

One multiply-add is two floating-point operations.
"""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Multiply-adds of one example through a net: forward; with its gradient; with a Hessian product too."""

    forward: int
    first_order: int
    second_order: int


def passes(layers: list[int]) -> Passes:
    """The passes through layers of so many multiply-adds for one example, the first layer first."""
    first, others = layers[0], sum(layers[1:])
    return Passes(
        forward=first + others,
        first_order=2 * first + 3 * others,
        second_order=4 * first + 9 * others,
    )


def conv4_layers(*, channels: int, side: int, filters: int, outputs: int) -> list[int]:
    """Four 3×3 convolutions of stride 1 on squares, each then halved by a pool that drops a last odd pixel; a head."""
    layers = []
    for inputs in (channels, filters, filters, filters):
        layers.append(side * side * 9 * inputs * filters)
        side //= 2
    return [*layers, side * side * filters * outputs]


def mlp_layers(*widths: int) -> list[int]:
    """Linear layers from each width to the next."""
    return [before * after for before, after in pairwise(widths)]
