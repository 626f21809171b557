"""Disentanglement: datasets with known factors of variation, and how far a code's dimensions tell these apart."""

import importlib

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
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
