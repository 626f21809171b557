"""What an autoencoder may be made of."""

import keras

from echo_tf.heads import outputs_of


def check_parts(encoder, channel, decoder, marginal, penalties):
    """Raises ValueError for parts of a `RateDistortionAutoencoder` that are not what they stand for, or do not fit together."""
    for name, part, what in (("encoder", encoder, "call"), ("channel", channel, "draw"), ("decoder", decoder, "call")):
        if not isinstance(part, keras.layers.Layer) or not hasattr(part, what):
            kind = "a channel such as EchoSample" if name == "channel" else "a Keras model or layer"
            raise ValueError(f"{name} must be {kind}, got {part!r}.")
    if len(outputs_of(encoder)) not in (0, 2):
        raise ValueError(f"the encoder must give two outputs, [loc, log_scale], got {len(outputs_of(encoder))}.")
    if not (marginal is None or isinstance(marginal, keras.layers.Layer)):
        raise ValueError(f"marginal must be a layer such as echo_tf.StandardNormal(), got {marginal!r}.")
    if not isinstance(penalties, (list, tuple)) or not all(isinstance(one, keras.layers.Layer) for one in penalties):
        raise ValueError(f"penalties must be a list of layers, code -> scalar, got {penalties!r}.")
    if marginal is not None and not getattr(channel, "needs_marginal", False):
        raise ValueError(f"{type(channel).__name__} has an exact rate: leave marginal out, got {marginal!r}.")
    if getattr(channel, "beta", None) is not None:
        raise ValueError(f"beta belongs to the autoencoder: leave beta={channel.beta!r} out of {type(channel).__name__}.")
