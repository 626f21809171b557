"""The toy distortions of the isometric VAE paper: D = a(x) sum_i (x_i - output_i)^2, so that the metric is a(x) I.

Reference: "Quantitative Understanding of VAE as a Non-linearly Scaled Isometric Embedding", equations 24 and 66, figure 10.
"""

import keras
from keras import ops

from echo_tf import arguments
from echo_tf.distortions import Distortion

LOSSES = ("square", "down", "up")


def weight(name: str, x):
    """a(x) of points x (..., m), of shape (...): 1, 2/3 + 2 |x|^2 / 21 ("down"), or the inverse of that ("up").

    "down" is of mean 1 on the toy sources, where E|x|^2 = 7/2; "up" is not.

    Args:
        name: of `LOSSES`.
        x: an array or tensor.

    Raises:
        ValueError: for another name.
    """
    arguments.choice("loss", name, LOSSES)
    convex = 2 / 3 + 2 / 21 * (x**2).sum(-1) if not keras.ops.is_tensor(x) else 2 / 3 + 2 / 21 * ops.sum(ops.square(x), -1)
    return {"square": convex * 0 + 1, "down": convex, "up": 1 / convex}[name]


@keras.saving.register_keras_serializable(package="echo_tf")
class WeightedSquaredError(Distortion):
    """a(x) sum_i (x_i - output_i)^2; no gradient passes through a(x), which is a property of the data.

    Args:
        loss: "square" (a = 1), "down" or "up"; see `weight`.
        reduction: "sum" over the elements of x, by which the paper's tables come out, or "mean", what its appendix D.1 says.

    Raises:
        ValueError: for another loss or reduction.
    """

    unit = "squared error"
    is_likelihood = False

    def __init__(self, loss="square", reduction="sum", **kwargs):
        super().__init__(**kwargs)
        arguments.choice("loss", loss, LOSSES)
        arguments.choice("reduction", reduction, ("sum", "mean"))
        self.loss, self.reduction = loss, reduction

    def of_each_element(self, x, output):
        axes = tuple(range(1, len(x.shape)))
        flat = ops.reshape(x, (ops.shape(x)[0], -1))
        a = ops.stop_gradient(ops.reshape(weight(self.loss, flat), (-1, *(1 for _ in axes))))
        scale = 1.0 if self.reduction == "sum" else 1.0 / flat.shape[1]
        return scale * a * ops.square(x - output)

    def get_config(self):
        return {**super().get_config(), "loss": self.loss, "reduction": self.reduction}
