"""Adam in one pass over each weight."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="echo_tf")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` whose update is TensorFlow's fused kernel: the same formula in one pass over memory.

    Keras's own update is a dozen operations, each a pass over the weights: on two cores, a sixth of a step of a small
    dense network. Other backends, `amsgrad` and sparse gradients get Keras's own.

    Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Args: as of `keras.optimizers.Adam`.
    """

    def update_step(self, gradient, variable, learning_rate):
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        index, dtype = self._get_variable_index(variable), variable.dtype
        beta_1, beta_2, epsilon = (ops.cast(x, dtype) for x in (self.beta_1, self.beta_2, self.epsilon))
        step = ops.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=ops.power(beta_1, step),
            beta2_power=ops.power(beta_2, step),
            lr=ops.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=ops.cast(gradient, dtype),
        )
