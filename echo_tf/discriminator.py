"""A network that tells codes from codes whose dimensions were drawn apart, and learns by an Adam of its own."""

import keras
from keras import ops

from echo_tf.guards import at_least_float32, mean_over_replicas
from echo_tf.optimizers import adam_step

SLOPE = 0.2  # of the leaky ReLU below 0 (FactorVAE, appendix A)


class Discriminator(keras.layers.Layer):
    """A dense network with two logits: that a code is from q(z), and that it is from the product of the q(z_j).

    It is trained by `learn` alone: to the model that it stands in, its weights and its Adam's moments are state, which is
    saved, put into checkpoints and carried along on every backend, and which the model's own optimizer does not see.
    The gradient of a dense network is a page of mathematics and written out here, so that one forward pass of the codes
    serves both the discriminator's loss and the penalty on the encoder.

    Reference: Kim and Mnih, "Disentangling by Factorising", ICML 2018, section 3 and appendix A.

    Args:
        units: of the hidden layers.
        learning_rate, beta_1, beta_2: of Adam.
        seed: of the initial weights, an integer or None.

    Input shape: (B, d). Output shape: (B, 2).
    """

    def __init__(self, units=(1000,) * 6, learning_rate=1e-4, beta_1=0.5, beta_2=0.9, seed=None, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        self.units, self.learning_rate, self.beta_1, self.beta_2 = tuple(units), learning_rate, beta_1, beta_2
        self.seed = seed

    def build(self, input_shape):
        sizes = (input_shape[-1], *self.units, 2)
        # all replicas make the same steps: any one's weights will do
        kind = {"trainable": False, "aggregation": "only_first_replica"}
        self.parameters, self.moments = [], []
        for i, shape in enumerate(zip(sizes, sizes[1:])):
            start = keras.initializers.GlorotUniform(None if self.seed is None else self.seed + i)
            for name, shape_of, initial in (("kernel", shape, start), ("bias", shape[1:], "zeros")):
                self.parameters.append(self.add_weight(shape_of, initial, name=f"{name}_{i}", **kind))
                moments = [self.add_weight(shape_of, "zeros", name=f"{name}_{i}_{which}", **kind) for which in ("m", "v")]
                self.moments.append(moments)
        self.steps = self.add_weight((), "zeros", dtype="int32", name="steps", **kind)

    def call(self, code):
        return self.layers_of(code)[-1]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2)

    def count_params(self):
        """The number of weights and biases, without what its Adam keeps."""
        return sum(int(ops.size(variable)) for variable in self.parameters)

    def layers_of(self, code):
        """[code, the hidden layers' outputs, logits (B, 2)]."""
        found = [ops.cast(code, self.compute_dtype)]
        for kernel, bias in zip(self.parameters[::2], self.parameters[1::2]):
            h = ops.matmul(found[-1], kernel) + bias
            found.append(h if len(found) == len(self.units) + 1 else ops.leaky_relu(h, SLOPE))
        return found

    def gradients(self, layers_of_codes, layers_of_permuted):
        """The gradients of `loss` in its parameters, in their order, from what `layers_of` has given for each."""
        total = [0.0] * len(self.parameters)
        for kind, layers in enumerate((layers_of_codes, layers_of_permuted)):
            layers = [ops.stop_gradient(layer) for layer in layers]
            wanted = ops.one_hot(kind, 2, dtype=self.compute_dtype)
            share = 0.5 / ops.cast(ops.shape(layers[-1])[0], self.compute_dtype)
            delta = share * (ops.softmax(layers[-1]) - wanted)
            for i in reversed(range(len(self.units) + 1)):
                total[2 * i] += ops.matmul(ops.transpose(layers[i]), delta)
                total[2 * i + 1] += ops.sum(delta, axis=0)
                if i:
                    slope = ops.where(layers[i] > 0, 1.0, SLOPE)  # the leaky ReLU keeps the sign
                    delta = ops.matmul(delta, ops.transpose(ops.convert_to_tensor(self.parameters[2 * i]))) * slope
        return total

    def loss(self, codes, permuted):
        """The mean cross-entropy, in nats, of telling codes (B, d) from permuted ones (C, d), both equally likely."""
        pieces = (ops.log_softmax(self(part))[:, kind] for kind, part in enumerate((codes, permuted)))
        return -0.5 * sum(ops.mean(piece) for piece in pieces)

    def learn(self, layers_of_codes, layers_of_permuted):
        """One step of Adam on `loss`, from what `layers_of` has given for each."""
        gradients = self.gradients(layers_of_codes, layers_of_permuted)
        self.steps.assign(self.steps + 1)
        for variable, moments, gradient in zip(self.parameters, self.moments, gradients):
            gradient = mean_over_replicas(gradient)
            # epsilon as in FactorVAE's code and Adam's paper
            adam_step(variable, moments, gradient, self.steps, self.learning_rate, self.beta_1, self.beta_2, 1e-8)
