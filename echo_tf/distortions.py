"""Distortions: what is lost, per example, from the decoder's output.

A distortion is a layer, (x, output) -> (B,). It carries its unit, says whether it is a likelihood (only then is rate +
distortion a bound on -log p(x)), and knows the reconstruction that an output stands for.
"""

import math

import keras
from keras import ops

from echo_tf import arguments, structural_similarity
from echo_tf.guards import at_least_float32, precise
from echo_tf.heads import NOT_NEGATIVE, activation_of, range_of

NOT_LOGITS = (*NOT_NEGATIVE, "tanh", "log_sigmoid", "logsigmoid", "log_softmax", "logsoftmax")
LOWEST_PROBABILITY = 1e-7


class Distortion(keras.layers.Layer):
    """A measure of distortion, and the base of one's own; computes in float32 or better.

    unit: of its values, "nats" for a likelihood.
    is_likelihood: whether it is -log p(x|z).
    limits: (lowest, highest) that x may be, or None.

    Call arguments:
        x: examples (B, ...).
        output: the decoder's output, of the shape of x.

    Returns (of a call): (B,).

    Raises:
        ValueError: for an output of another shape than x, which would be broadcast.
    """

    unit = "nats"
    is_likelihood = True
    limits = None

    def __init__(self, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)

    def build(self, x_shape, output_shape):
        self.check_shapes(x_shape, output_shape)

    def call(self, x, output):
        self.check_shapes(x.shape, output.shape)
        values = self.of_each_element(ops.cast(x, self.compute_dtype), ops.cast(output, self.compute_dtype))
        return ops.sum(values, axis=tuple(range(1, len(x.shape))))

    def compute_output_shape(self, x_shape, output_shape):
        return tuple(x_shape[:1])

    def of_each_element(self, x, output):
        """The distortion of each pixel or other element, of the shape of x."""
        raise NotImplementedError

    def reconstruct(self, output):
        """The reconstruction that an output stands for, of the shape of x: the mean of p(x|z)."""
        return output

    def check_shapes(self, x_shape, output_shape):
        """Raises ValueError for an output of another shape than x."""
        if tuple(x_shape)[1:] != tuple(output_shape)[1:]:
            x_shape, output_shape = (str(tuple(shape)[1:]) for shape in (x_shape, output_shape))
            raise ValueError(f"the decoder's output must have the shape of x, {x_shape} an example, got {output_shape}.")

    def check_head(self, output):
        """Raises ValueError for a decoder whose output (a symbolic tensor) is known not to be what the distortion takes."""

    def range_of(self, output):
        """(lowest, highest) that x can have for a decoder's output (a symbolic tensor) to meet it; None without bounds."""
        return range_of(output)


@keras.saving.register_keras_serializable(package="echo_tf")
class Bernoulli(Distortion):
    """-log p(x|z) in nats, every element of x a Bernoulli variable; values between 0 and 1 count as probabilities.

    Reference: Echo paper, section 3.1.

    Args:
        from_logits: whether the decoder gives logits (precise at any confidence), or probabilities, as a decoder that ends
            in a sigmoid does (then rounded to [1e-7, 1 - 1e-7]).
    """

    limits = (0.0, 1.0)

    def __init__(self, from_logits=True, **kwargs):
        super().__init__(**kwargs)
        self.from_logits = from_logits

    def of_each_element(self, x, output):
        if self.from_logits:  # -x log sigmoid(l) - (1 - x) log(1 - sigmoid(l)), with no probability rounded to 0 or 1
            return ops.softplus(output) - x * output
        output = ops.clip(output, LOWEST_PROBABILITY, 1.0 - LOWEST_PROBABILITY)
        return -x * ops.log(output) - (1.0 - x) * ops.log(1.0 - output)

    def reconstruct(self, output):
        return ops.sigmoid(output) if self.from_logits else output

    def check_head(self, output):
        head = activation_of(output)
        if self.from_logits and head in NOT_LOGITS:
            raise ValueError(
                f'the distortion "bernoulli" takes logits, and the decoder ends in the activation {head!r}: take that '
                "activation away, or say distortion=echo_tf.Bernoulli(from_logits=False) if these are probabilities."
            )
        if not self.from_logits and head == "linear":
            raise ValueError(
                "Bernoulli(from_logits=False) takes probabilities, and the decoder ends in the activation 'linear': "
                'end it in "sigmoid", or take distortion="bernoulli" if these are logits.'
            )

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="echo_tf")
class Gaussian(Distortion):
    """-log N(x; output, variance) in nats, one variance for all elements of all examples; the output is the mean itself.

    A density, so that it may be negative; nats of different variances do not compare by eye.

    Reference: Wu, Burda, Salakhutdinov and Grosse, "On the Quantitative Analysis of Decoder-Based Generative Models",
    ICLR 2017, whose VAEs learn one variance, from 0.03 on.

    Args:
        variance: a number, or None for one that is learned.
        start: the value that a learned variance starts from.

    Raises:
        ValueError: for a variance or a start that is not positive.
    """

    def __init__(self, variance=None, start=0.03, **kwargs):
        super().__init__(**kwargs)
        variance = None if variance is None else arguments.number("variance", variance, "(0, inf)")
        start = arguments.number("start", start, "(0, inf)")
        self.variance, self.start = variance, start
        if variance is None:
            initial = keras.initializers.Constant(math.log(start))
            self.log_variance = self.add_weight((), initial, name="log_variance")
        else:
            self.log_variance = math.log(variance)

    def of_each_element(self, x, output):
        log_variance = ops.convert_to_tensor(self.log_variance, dtype=self.compute_dtype)
        return 0.5 * (ops.square(x - output) * ops.exp(-log_variance) + log_variance + math.log(2.0 * math.pi))

    def get_config(self):
        return {**super().get_config(), "variance": self.variance, "start": self.start}


@keras.saving.register_keras_serializable(package="echo_tf")
class SquaredError(Distortion):
    """The sum of squared differences of each example: no likelihood, so that there is no -ELBO.

    With beta, it trains as a `Gaussian` of variance 1/2 does.
    """

    unit = "squared error"
    is_likelihood = False

    def of_each_element(self, x, output):
        return ops.square(x - output)


@keras.saving.register_keras_serializable(package="echo_tf")
class StructuralDissimilarity(Distortion):
    """1 - SSIM of images in [0, 1]: no likelihood. `structural_similarity` says which windows and constants.

    Reference: isometric VAE paper, section 4.2, which trains on it.

    Raises:
        ValueError: for images that are smaller than a window of 11 x 11.
    """

    unit = "dissimilarity"
    is_likelihood = False
    limits = (0.0, 1.0)

    def check_shapes(self, x_shape, output_shape):
        super().check_shapes(x_shape, output_shape)
        structural_similarity.check_size(x_shape)

    def call(self, x, output):
        self.check_shapes(x.shape, output.shape)
        return structural_similarity.dissimilarity(*(ops.cast(value, self.compute_dtype) for value in (x, output)))


@keras.saving.register_keras_serializable(package="echo_tf")
class CallableDistortion(Distortion):
    """A distortion made of a function, (x, output) -> (B,).

    Args:
        function: of tensors; registered with Keras, if the model is to be saved.
        unit: of its values.
        is_likelihood: whether it is -log p(x|z), in nats.

    Raises:
        ValueError: on a call, for a function whose values are not (B,).
    """

    def __init__(self, function, unit=None, is_likelihood=False, **kwargs):
        super().__init__(**kwargs)
        self.function = function
        self.unit = unit or ("nats" if is_likelihood else getattr(function, "__name__", "distortion"))
        self.is_likelihood = is_likelihood

    def check_shapes(self, x_shape, output_shape):
        """What the function takes is its own affair."""

    def range_of(self, output):
        """So is what it holds an output against."""

    def call(self, x, output):
        values = ops.convert_to_tensor(self.function(*precise(x, output)))
        if len(values.shape) != 1:
            name = getattr(self.function, "__name__", repr(self.function))
            raise ValueError(f"the distortion {name} must give one number an example, (B,), got {tuple(values.shape)}.")
        return values

    def get_config(self):
        own = {"unit": self.unit, "is_likelihood": self.is_likelihood}
        return {**super().get_config(), "function": keras.saving.serialize_keras_object(self.function), **own}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "function": keras.saving.deserialize_keras_object(config["function"])})


DISTORTIONS = {"bernoulli": Bernoulli, "gaussian": Gaussian, "squared_error": SquaredError, "ssim": StructuralDissimilarity}


def distortion_of(value):
    """The `Distortion` that a name, a `Distortion` or a function stands for. Raises ValueError for anything else."""
    if isinstance(value, Distortion):
        return value
    if isinstance(value, str) and value in DISTORTIONS:
        return DISTORTIONS[value]()
    if callable(value) and not isinstance(value, type):
        return CallableDistortion(value)
    raise ValueError(
        f"distortion must be one of {', '.join(DISTORTIONS)}, a Distortion, or a function (x, output) -> (B,), got {value!r}."
    )
