"""Generative adversarial networks and adversarial autoencoders, and what tells whether one has collapsed. TensorFlow alone."""

from echo_tf.lazy import lazily

_HOMES = {
    "autoencoder": ["AdversarialAutoencoder"],
    "collapse": ["indicators"],
    "losses": ["gradient_penalty", "representation_entropy"],
    "network": ["GenerativeAdversarialNetwork"],
}
__all__, __getattr__, __dir__ = lazily(__name__, _HOMES)
