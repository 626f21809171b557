"""Table 2 of the isometric VAE paper: as Table 1, of the downward-convex loss."""

from echo_tf.tables import Material, isometric_table1


def write(material: Material) -> str | None:
    """Writes <study>_table2.md and .csv; returns the Markdown, None without such a training."""
    return isometric_table1.write(material, "down")
