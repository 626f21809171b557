"""A VAE as a scaled isometric embedding: what its latent dimensions are worth, and what they say of the data's density.

README.md says what it does, how to use it and how to read the numbers.
"""

from echo_tf.lazy import lazily

_HOMES = {
    "analysis": ["Analysis", "analyse", "analyse_echo", "examine", "examine_echo"],
    "decomposed": ["DecomposedAutoencoder"],
    "gdn": ["GDN", "IGDN"],
    "group": ["StackedAutoencoders"],
    "losses": ["WeightedSquaredError"],
    "picture": ["plot"],
    "traversal": ["traversals"],
    "sources": ["Density", "Source", "source_of"],
}
__all__, __getattr__, __dir__ = lazily(__name__, _HOMES)
