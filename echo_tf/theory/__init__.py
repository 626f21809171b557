"""Rate-distortion theory: closed forms, the Blahut-Arimoto algorithm, exact curves, bounds for data. NumPy and SciPy alone."""

from echo_tf.theory.blahut_arimoto import BlahutArimoto, blahut_arimoto, rate_distortion_curve
from echo_tf.theory.closed_forms import (
    LinearBetaVae,
    WaterFilling,
    bernoulli_rate,
    binary_entropy,
    gaussian_rate,
    in_bits,
    laplace_rate,
    linear_beta_vae,
    reverse_water_filling,
)
from echo_tf.theory.data_bounds import (
    GaussianMixture,
    Particles,
    codebook_bound,
    fit_gaussian_mixture,
    fit_particles,
    fitted_mixture_bound,
    particle_bound,
)
from echo_tf.theory.data_lower_bound import lower_bound, lower_envelope
from echo_tf.theory.linear_vae import (
    LinearVae,
    gaussian_mixture_bound,
    linear_vae,
    linear_vae_per_image,
    linear_vae_squared_error,
    linear_vae_squared_error_per_image,
)
from echo_tf.theory.tutorial import (
    VaeLoss,
    binary_demo,
    factorized_optimum,
    gaussian_demo,
    posterior_collapse,
    vae_loss_split,
    wyner_common_information,
)

__all__ = [
    "BlahutArimoto",
    "GaussianMixture",
    "LinearBetaVae",
    "LinearVae",
    "Particles",
    "VaeLoss",
    "WaterFilling",
    "bernoulli_rate",
    "binary_demo",
    "binary_entropy",
    "blahut_arimoto",
    "codebook_bound",
    "factorized_optimum",
    "fit_gaussian_mixture",
    "fit_particles",
    "fitted_mixture_bound",
    "gaussian_demo",
    "gaussian_mixture_bound",
    "gaussian_rate",
    "in_bits",
    "laplace_rate",
    "linear_beta_vae",
    "linear_vae",
    "linear_vae_per_image",
    "linear_vae_squared_error",
    "linear_vae_squared_error_per_image",
    "lower_bound",
    "lower_envelope",
    "particle_bound",
    "posterior_collapse",
    "rate_distortion_curve",
    "reverse_water_filling",
    "vae_loss_split",
    "wyner_common_information",
]
