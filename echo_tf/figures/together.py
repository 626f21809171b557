"""The plain curves of all studies of a paper on one chart: decoders that were trained otherwise, under one prior, in pixels."""

from pathlib import Path

from echo_tf.figures import annealed


def write(material):
    """Draws <dataset>_<preset>_together of each dataset and preset; returns the paths of the PNGs."""
    return annealed.charts(material, plain(material), "together")


def plain(material):
    """The records of one curve of each model: its own decoder and prior, squared errors, no label."""
    room = Path(material.study).parent
    chosen = {}
    for result in material.every:
        settings = result.settings
        if settings.kind != "ais" or Path(settings.study).parent != room or settings.round != "formal":
            continue
        changed = (settings.blur, settings.wide_weight, settings.features, settings.label)
        if settings.distortion == "squared_error" and not any(changed):
            of_model = settings.model.work(), settings.preset
            chosen.setdefault(of_model, (settings.study, settings.formal_seed, []))
            if chosen[of_model][:2] == (settings.study, settings.formal_seed):
                chosen[of_model][2].append(result)
    return [result for *_, found in chosen.values() for result in found]
