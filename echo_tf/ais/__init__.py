"""Annealed importance sampling: rate-distortion curves of any decoder, and how tight they are. TensorFlow alone."""

from echo_tf.lazy import lazily

_HOMES = {
    "annealing": ["Annealed", "Annealing"],
    "bidirectional": ["bidirectional_gap"],
    "decoders": ["GaussianBlur", "blurred", "in_features", "of_means"],
    "curve": ["rate_distortion_curve"],
    "plan": ["PRESETS", "Plan"],
    "plotting": ["plot"],
    "priors": ["ScaleMixture", "fitted_mixture", "prior_of"],
    "sampler": ["Sampler"],
    "schedule": ["Schedule", "adapted_schedule", "sigmoid_schedule"],
    "step_sizes": ["StepSizes"],
    "target": ["Target"],
}
__all__, __getattr__, __dir__ = lazily(__name__, _HOMES)
