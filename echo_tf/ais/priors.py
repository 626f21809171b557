"""Priors of trained models: what a curve of their decoder is measured against."""

import numpy as np

from echo_tf import arguments


def prior_of(model, draws: int = 20_000, seed: int = 0):
    """The prior of a `RateDistortionAutoencoder` as a TFP distribution, None for N(0, I).

    Echo has no prior: its rate is measured against q(z), whose density is not known. A mixture of Gaussians fitted to draws of
    q(z) stands for it. At each beta the curve's -log Z = R + beta D is then above that under q itself by E log(q / fitted) at
    most, where z is of the channel that is optimal under q, averaged over the images. That is KL(q || fitted) only where such
    codes are distributed as q is; images whose codes lie where the fit is too low pay more, up to the greatest log(q / fitted)
    there is. As q is not known, neither is this.

    Args:
        model: with a standard normal marginal, or an Echo channel that has been adapted.
        draws: codes that the density is fitted to.
        seed: of the fit.

    Raises:
        ValueError: for another marginal, or codes that are not vectors.
    """
    from echo_tf.marginals import StandardNormal

    if not hasattr(model, "marginal"):
        raise ValueError(f"the prior is that of a RateDistortionAutoencoder, got {type(model).__name__}.")
    if model.marginal is None:
        return fitted_mixture(np.asarray(model.channel.sample_marginal(draws)), seed=seed)
    if isinstance(model.marginal, StandardNormal):
        return None
    raise ValueError(f"the prior must be N(0, I) or that of Echo, got {type(model.marginal).__name__}: give one of TFP's.")


def fitted_mixture(codes: np.ndarray, num_components: int = 20, seed: int = 0):
    """A mixture of Gaussians with full covariances, fitted to codes (n, k) by scikit-learn; a `tfd.MixtureSameFamily`.

    The component that is added last, with the codes' own mean and four times their covariance at a weight of 0.01, keeps the
    density's tails above any code's.

    Raises:
        ValueError: for codes that are not (n, k), or that have a dimension which does not vary and so has no density.
    """
    import tensorflow_probability as tfp
    from sklearn.mixture import GaussianMixture

    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or len(codes) < num_components:
        raise ValueError(f"codes must be (n, k), n of {num_components} or more, got the shape {codes.shape}.")
    if not (np.ptp(codes, axis=0) > 0).all():
        raise ValueError(
            f"every dimension of the codes must vary, or there is no density: {np.ptp(codes, axis=0)} is their range."
        )
    fit = GaussianMixture(num_components, reg_covar=1e-6, random_state=seed).fit(codes)
    weights = np.append(0.99 * fit.weights_, 0.01)
    means = np.concatenate([fit.means_, codes.mean(0)[None]])
    covariances = np.concatenate([fit.covariances_, 4 * np.atleast_2d(np.cov(codes.T))[None]])
    tfd = tfp.distributions
    components = tfd.MultivariateNormalTriL(
        means.astype(np.float32), scale_tril=np.linalg.cholesky(covariances).astype(np.float32)
    )
    return tfd.MixtureSameFamily(tfd.Categorical(probs=weights.astype(np.float32)), components)


class ScaleMixture:
    """(1 - w) N(0, I) + w N(0, scale^2 I) over vectors (k,): what `Target` needs of a prior, of which a share w is wasted.

    Reference: "Evaluating Lossy Compression Rates of Deep Generative Models", section 6. "joint" is that density, whose rate
    is above that of N(0, I) by -log(1 - w) nats at most. "product" is the product of such mixtures of each latent alone, as in
    the released code, whose density has no gradient in its HMC (the acceptance puts that right). Its draws, where chains start,
    are those of "joint" all the same, as in that code (`draws_are_of_density` is False): so the mean of the weights is not Z,
    but too large where the joint density is above the product, as it is in the middle (e.g. twice Z at k = 3, w = 0.5), and
    -log Z is no upper bound, nor has it a BDMC gap. It is there to show what the released code does.

    Args:
        latent_dim: k. weight: w. scale: of the wide component. density: "joint" or "product".

    Raises:
        ValueError: for a weight outside (0, 1), a scale that is not positive, or another density.
    """

    dtype = "float32"

    def __init__(self, latent_dim: int, weight: float, scale: float = 10.0, density: str = "joint"):
        arguments.number("weight", weight, "(0, 1)")
        arguments.number("scale", scale, "(0, inf)")
        arguments.choice("density", density, ("joint", "product"))
        self.latent_dim, self.weight, self.scale, self.density = latent_dim, weight, scale, density
        self.draws_are_of_density = density == "joint" or latent_dim == 1
        self.event_shape = (latent_dim,)

    def sample(self, number, seed):
        """Draws, (number, k), each from one of the two components. seed: two integers."""
        import tensorflow as tf

        coins = tf.random.stateless_uniform((number, 1), tf.constant(seed) + [0, 1])
        z = tf.random.stateless_normal((number, self.latent_dim), seed)
        return tf.where(coins < self.weight, self.scale * z, z)

    def log_prob(self, z):
        """The log density of vectors (n, k), (n,)."""
        import tensorflow as tf

        joint = self.density == "joint"
        dims = self.latent_dim if joint else 1
        squared = tf.reduce_sum(z * z, -1) if joint else z * z
        good = np.log1p(-self.weight) - 0.5 * squared
        bad = np.log(self.weight) - dims * np.log(self.scale) - 0.5 * squared / self.scale**2
        values = tf.reduce_logsumexp(tf.stack([good, bad]), 0) - 0.5 * dims * np.log(2 * np.pi)
        return values if joint else tf.reduce_sum(tf.stop_gradient(values), -1)
