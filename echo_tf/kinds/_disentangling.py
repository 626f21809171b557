"""The work of the kind `disentangle`: encodes a model's images once, scores its representations, keeps what is drawn."""

import time

import numpy as np

from echo_tf import disentangle
from echo_tf.echo_sample import EchoSample
from echo_tf.errors import InputError
from echo_tf.kinds._training import data_of
from echo_tf.precision import in_float32

DONORS = 1_000  # random images, of whose encodings Echo's independent noise is made
SHOWN = 10  # images reconstructed
TRAVERSAL_STEPS = 9
TRAVERSAL_RANGE = (0.01, 0.99)  # quantiles of a dimension over the dataset


def perform(settings, place):
    """The scores of each representation of `disentangle.Settings`. Returns what the record says of it."""
    started = time.perf_counter()
    model, data = in_float32(place.model(settings.model)), _all_combinations(settings, place)
    encoded = disentangle.Encoded(data, lambda images: model.encode(images, 512), check=place.check)
    places = np.prod(encoded.factor_sizes, dtype=int)
    donors = encoded.encode(np.random.default_rng(settings.seed).choice(places, DONORS))
    representations = {}
    for name in settings.representations:
        represent = disentangle.representation(model, name, encoded.encode, donors, settings.seed)
        scores, more = _scores(settings, represent, encoded, name, place)
        representations[name] = {"fidelity": "released" if name == "released" else "paper", "scores": scores, **more}
        place.check()
    place.attach("pictures", _pictures(model, encoded, donors, settings.seed))
    single = [name for name, size in zip(data.factor_names, data.factor_sizes) if size == 1]
    return {
        "data": {"factors": dict(zip(data.factor_names, data.factor_sizes)), "images_used": len(data.splits["train"])},
        "representations": representations,
        "factors_left_out": single,
        "score_seconds": round(time.perf_counter() - started, 1),
    }


def _all_combinations(settings, place):
    """The dataset of the model with all combinations of its factors. Raises InputError where it has none of them."""
    independent = settings.model.model_copy(update={"ground_truth": "independent"})
    data, _ = data_of(independent, place)
    if not data.factor_sizes:
        raise InputError(f"{settings.run_path}: {data.name} has no factors of variation to measure disentanglement by.")
    return data


def _scores(settings, represent, encoded, name, place):
    """({column: score}, what else the record says) of one representation."""
    groups = {"batch_size": settings.group_size}
    trained = {**groups, "num_train": settings.num_train}
    shared = {"seed": settings.seed}
    makers = {
        "factor_vae": lambda: disentangle.factor_vae_score(
            represent,
            encoded,
            **shared,
            **trained,
            num_eval=settings.num_eval,
            num_variance=settings.num_points,
            threshold=settings.threshold,
            absolute=name == "released",
        ),
        "mig": lambda: disentangle.mutual_information_gap(
            represent, encoded, **shared, **groups, num_points=settings.num_points, num_bins=settings.num_bins
        ),
        "beta_vae": lambda: disentangle.beta_vae_score(represent, encoded, **shared, **trained, num_eval=settings.num_eval),
        "dci": lambda: disentangle.dci(represent, encoded, **shared, **trained, num_test=settings.num_eval),
        "sap": lambda: disentangle.sap(represent, encoded, **shared, **trained, num_test=settings.num_eval),
        "modularity": lambda: disentangle.modularity(
            represent, encoded, **shared, **groups, num_points=settings.num_points, num_bins=settings.num_bins
        ),
    }
    scores, more = {}, {}
    for wanted in settings.scores:
        if wanted == "total_correlation":
            _, codes = disentangle.Sampler(represent, encoded, settings.seed).codes(settings.num_points, settings.group_size)
            found = disentangle.gaussian_total_correlation(codes)
            scores["code_total_correlation_nats"] = None if found == np.inf else found  # JSON has no such number
            continue
        try:
            result = makers[wanted]()
        except ValueError as error:
            raise InputError(f"{settings.run_path}: {wanted}: {error}") from error
        scores |= _columns(wanted, result)
        if wanted == "factor_vae":
            more["active_dimensions"] = list(result.active)
        if wanted == "mig":
            more |= {"gaps": result.gaps, "information_nats": result.information_nats.round(6).tolist()}
        place.check()
    return scores, more


def _columns(name, result):
    if name == "dci":
        parts = ("disentanglement", "completeness", "informativeness")
        return {f"dci_{part}_score": getattr(result, part) for part in parts}
    return {f"{name}_score": result.score}


def _pictures(model, encoded, donors, seed):
    """What the figures `factors` and `traversals` show: the mean code by two factors at a time, decoded images."""
    loc = encoded.grid()[0]
    axes = range(loc.ndim - 1)
    found = {
        "factor_sizes": np.array(loc.shape[:-1]),
        "code_mean": loc.mean(axis=tuple(axes)),
        "code_std": loc.std(axis=tuple(axes)),
    }
    for i in axes:
        for j in axes:
            if i < j:
                others = tuple(axis for axis in axes if axis not in (i, j))
                found[f"mean_{i}_{j}"] = loc.mean(axis=others, dtype=np.float64).astype(np.float32)
    rows = np.random.default_rng(seed).choice(loc[..., 0].size, SHOWN)
    images = encoded.dataset.images(np.stack(np.unravel_index(rows, encoded.factor_sizes), axis=1))
    codes = _decoder_codes(model, encoded.encode(rows), donors)
    everywhere = _decoder_codes(model, encoded.encode(np.random.default_rng(seed).choice(loc[..., 0].size, 10_000)), donors)
    ends = np.quantile(everywhere, TRAVERSAL_RANGE, axis=0)
    steps = np.linspace(*ends, TRAVERSAL_STEPS)  # (steps, d)
    moved = np.repeat(codes[:1], len(steps) * codes.shape[1], axis=0).reshape(codes.shape[1], len(steps), -1)
    for j in range(codes.shape[1]):
        moved[j, :, j] = steps[:, j]
    shape = images.shape[1:]
    found["traversals"] = _decoded(model, moved.reshape(-1, codes.shape[1])).reshape(*moved.shape[:2], *shape)
    return found | {"traversal_steps": steps, "images": _pixels(images), "reconstructions": _decoded(model, codes)}


def _decoder_codes(model, heads, donors):
    """The mean of z given x, as the decoder sees it: of Echo, over noise made of the donors."""
    if not isinstance(model.channel, EchoSample):
        return np.asarray(model.channel.mean(heads))
    channel = EchoSample.from_config({**model.channel.get_config(), "noise_source": "pool"})
    channel.adapt(donors)
    if channel.standardization is not None:
        channel.set_weights(model.channel.get_weights())
    return np.asarray(channel.mean(heads))


def _decoded(model, codes):
    output = np.concatenate([model.decoder.predict_on_batch(part) for part in np.array_split(codes, -(-len(codes) // 64))])
    return _pixels(np.asarray(model.measure_of_distortion.reconstruct(output)))


def _pixels(images):
    return np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
