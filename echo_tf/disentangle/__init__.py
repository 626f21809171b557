"""Disentanglement: datasets with known factors of variation, and how far a code's dimensions tell these apart."""

from echo_tf.lazy import lazily

_HOMES = {
    "beta_vae": ["BetaVAEScore", "beta_vae_score"],
    "dependence": ["DependentSubset", "dependent_subset"],
    "encoded": ["Encoded"],
    "factor_vae": ["FactorVAEScore", "factor_vae_score"],
    "gaussian": ["gaussian_total_correlation"],
    "importance": ["DCI", "dci"],
    "information": ["Modularity", "MutualInformationGap", "modularity", "mutual_information_gap"],
    "representations": ["REPRESENTATIONS", "representation"],
    "sampling": ["Sampler"],
    "selection": ["dependent", "thinned"],
    "separation": ["SAP", "sap"],
}
__all__, __getattr__, __dir__ = lazily(__name__, _HOMES)
