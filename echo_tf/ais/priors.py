"""Priors of trained models: what a curve of their decoder is measured against."""

import numpy as np


def prior_of(model, draws: int = 20_000, seed: int = 0):
    """The prior of a `RateDistortionAutoencoder` as a TFP distribution, None for N(0, I).

    Echo has no prior: its rate is measured against q(z), whose density is not known. A mixture of Gaussians fitted to draws of
    q(z) stands for it; the curve's rate is then above that of q(z) itself by KL(q || fitted), at most.

    Args:
        model: with a standard normal marginal, or an Echo channel that has been adapted.
        draws: codes that the density is fitted to.
        seed: of the fit.

    Raises:
        ValueError: for another marginal.
    """
    from echo_tf.marginals import StandardNormal

    if model.marginal is None:
        return fitted_mixture(np.asarray(model.channel.sample_marginal(draws)), seed=seed)
    if isinstance(model.marginal, StandardNormal):
        return None
    raise ValueError(f"the prior must be N(0, I) or that of Echo, got {type(model.marginal).__name__}: give one of TFP's.")


def fitted_mixture(codes: np.ndarray, num_components: int = 20, seed: int = 0):
    """A mixture of Gaussians with full covariances, fitted to codes (n, k) by scikit-learn; a `tfd.MixtureSameFamily`.

    The component that is added last, with the codes' own mean and four times their covariance at a weight of 0.01, keeps the
    density's tails above any code's.
    """
    import tensorflow_probability as tfp
    from sklearn.mixture import GaussianMixture

    codes = np.asarray(codes, np.float64)
    fit = GaussianMixture(num_components, reg_covar=1e-6, random_state=seed).fit(codes)
    weights = np.append(0.99 * fit.weights_, 0.01)
    means = np.concatenate([fit.means_, codes.mean(0)[None]])
    covariances = np.concatenate([fit.covariances_, 4 * np.cov(codes.T)[None]])
    tfd = tfp.distributions
    components = tfd.MultivariateNormalTriL(
        means.astype(np.float32), scale_tril=np.linalg.cholesky(covariances).astype(np.float32)
    )
    return tfd.MixtureSameFamily(tfd.Categorical(probs=weights.astype(np.float32)), components)
