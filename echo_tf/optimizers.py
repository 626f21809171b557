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
        index = self._get_variable_index(variable)
        moments = self._momentums[index], self._velocities[index]
        adam_step(variable, moments, gradient, self.iterations + 1, learning_rate, self.beta_1, self.beta_2, self.epsilon)


def adam_step(variable, moments, gradient, step, learning_rate, beta_1, beta_2, epsilon):
    """One step of Adam: changes a variable and its moments, in one pass where the backend is TensorFlow.

    Args:
        variable: of floats, a Keras variable or, on TensorFlow, one of its own.
        moments: (first, second), variables of the same shape, zero before the first step.
        gradient: of the variable's shape.
        step: the number of this step, from 1.
        learning_rate, beta_1, beta_2, epsilon: as of `keras.optimizers.Adam`.
    """
    dtype = variable.dtype
    step, gradient = ops.cast(step, dtype), ops.cast(gradient, dtype)
    powers = [ops.power(ops.cast(beta, dtype), step) for beta in (beta_1, beta_2)]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(moments[0]),
            v=_handle(moments[1]),
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=ops.cast(learning_rate, dtype),
            beta1=ops.cast(beta_1, dtype),
            beta2=ops.cast(beta_2, dtype),
            epsilon=ops.cast(epsilon, dtype),
            grad=gradient,
        )
        return
    moments[0].assign(moments[0] + (1 - beta_1) * (gradient - moments[0]))
    moments[1].assign(moments[1] + (1 - beta_2) * (ops.square(gradient) - moments[1]))
    rate = learning_rate * ops.sqrt(1 - powers[1]) / (1 - powers[0])
    variable.assign(variable - rate * moments[0] / (ops.sqrt(moments[1]) + epsilon))


def _handle(variable):
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
