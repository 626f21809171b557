"""The plain curves of all studies of a paper on one chart: decoders that were trained otherwise, under one prior, in pixels."""

from echo_tf.figures import annealed
from echo_tf.tables.annealed_curves import plain


def write(material):
    """Draws <dataset>_<preset>_together of each dataset and preset; returns the paths of the PNGs."""
    return annealed.charts(material, plain(material.every, material.study), "together")
