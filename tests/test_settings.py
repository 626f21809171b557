import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from echo_tf.errors import InputError
from echo_tf.kinds.autoencoder import FIDELITY
from echo_tf.methods import METHODS
from echo_tf.runs.resolving import resolve
from echo_tf.runs.settings import difference
from echo_tf.runs.studies import read_study
from echo_tf.runs.yaml_text import read_yaml
from tests.small_runs import tiny

CONFIGS = Path(__file__).parent.parent / "configs"
TABLE1 = read_study("echo/table1", CONFIGS)


def test_the_paper_s_settings_are_the_default():
    config = resolve(TABLE1)
    assert (config.epochs, config.batch_size, config.learning_rate, config.latent_dim, config.beta) == (200, 100, 3e-4, 32, 1)
    assert config.method_settings == {"seed": 0, "num_terms": 99, "standardize": False}
    assert str(config.run_path) == "echo/table1/binary_mnist/echo/beta1_seed0_paper"


def test_overrides_go_before_presets_and_presets_before_the_base():
    config = resolve(TABLE1, "short", ["epochs=3", "beta=0.25", "learning_rate=1e-4", "method=vae"])
    assert (config.epochs, config.beta, config.learning_rate, config.preset) == (3, 0.25, 1e-4, "own")
    assert config.method_settings == {"seed": 0}
    assert resolve(TABLE1, "short").epochs == 20


@pytest.mark.parametrize("word", ["paper", "released"])
def test_fidelity_bundles_its_switches_and_each_can_be_set_alone(word):
    switches = {}
    for method in METHODS:
        config = resolve(TABLE1, None, [f"fidelity={word}", f"method={method}", "dataset=fashion_mnist"])
        bearing = {key: s for key, s in FIDELITY.items() if s.bears_on({**config.model_dump(), "method": method})}
        assert all(method in FIDELITY[key].where.get("method", [method]) for key in bearing)
        assert config.switches == {key: getattr(s, word) for key, s in bearing.items()}
        switches |= config.switches
    of_factors = ["gamma=20", "ground_truth=dependent"]
    switches |= resolve(TABLE1, None, [f"fidelity={word}", *of_factors]).switches
    assert set(switches) == set(FIDELITY) and {"blocks", "permuted", "discriminator_beta_2"} <= set(switches)
    config = resolve(TABLE1, None, [f"fidelity={word}"])
    alone = resolve(TABLE1, None, [f"fidelity={word}", "network_settings.output_kernel=5"])
    assert alone.switches == {**config.switches, "output_kernel": 5}


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_of_every_study_resolves(path):
    study = read_study(path)
    assert path == CONFIGS / f"{study.study}.yaml"
    for preset in study.presets:
        if study.base or study.axes:
            resolve(study, preset)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["bata=1"], ["'bata'", "did you mean 'beta'"]),
        (["beta=high"], ["'beta'", "'high'", "number"]),
        (["beta=-1"], ["'beta'", "-1", "greater than or equal to 0"]),
        (["beta=.inf"], ["'beta'", "finite"]),
        (["method=ehco"], ["'method'", "'ehco'", "'echo'", "did you mean 'echo'"]),
        (["scheme=rings"], ["'scheme'", "'rings'", "did you mean 'ring'"]),
        (["epochs=0"], ["'epochs'", "0", "greater than or equal to 1"]),
        (["epochs=2.5"], ["'epochs'", "2.5", "integer"]),
        (["batch_size=1"], ["'batch_size'", "greater than or equal to 2"]),
        (["seed=-1"], ["'seed'", "-1"]),
        (["fidelity=code"], ["'fidelity'", "'code'", "'paper' or 'released'"]),
        (["dtype_policy=float16"], ["'dtype_policy'", "'float16'", "mixed_bfloat16"]),
        (["study=../../etc"], ["'study'", "the study that you name"]),
        (["preset=short"], ["'preset' is no setting", "--preset short"]),
        (["kind=ais"], ["'kind' is no setting"]),
        (["model=5"], ["'model' is no setting"]),
        (["model={}"], ["'model' is no setting"]),
        (["epochs=1:30"], ["'epochs' is '1:30': it must be a number"]),
        (["epochs=1_0"], ["'epochs' is '1_0': it must be a number"]),
        (["epochs='5'"], ["'epochs' is '5': it must be a number"]),
        (["epochs=0x10"], ["'epochs' is '0x10': it must be a number"]),
        (["standardize=1"], ["'standardize' is 1: it must be true or false"]),
        (["deterministic=yes"], ["'deterministic' is 'yes': it must be true or false"]),
        (["factor_strides={shape: true}"], ["'factor_strides'", "of numbers"]),
        (["epochs=1", "epochs=2"], ["'epochs' is given twice, 1 and 2"]),
        (["variant=standardized", "method=vae"], ["variant=standardized", "has method=echo, got method=vae"]),
        (["variant=standardized", "standardize=false"], ["variant=standardized", "has standardize=True"]),
        (["variant=0"], ["has the variants", "got 0"]),
        (["variant=standardised"], ["did you mean 'standardized'"]),
        (["learning_rate=1e300"], ["'learning_rate'", "1e+300"]),
        (["learning_rate=1e-300"], ["'learning_rate'", "1e-300"]),
        (["seed=5000000000"], ["'seed'", "4294967296"]),
        (["width=.inf"], ["'width'", "less than or equal to 100"]),
        (["width=.nan"], ["'width'"]),
        (["num_terms=99999999"], ["'num_terms'", "10000"]),
        (["method=iaf-mmd", "mmd_bandwidth=1e300"], ["'mmd_bandwidth'"]),
        (["name=.."], ["'name'", "'..'", "pattern"]),
        (["latent_dim=99999999"], ["'latent_dim'"]),
        (["beta={a: 1, a: 2}"], ["beta", "YAML"]),
        (["beta=" + 3000 * "["], ["beta", "YAML"]),
        (["beta=2026-13-45"], ["'beta' is '2026-13-45': it must be a number"]),
        (["beta=!!int x"], ["beta", "YAML"]),
        (["name=a/b"], ["'name'", "'a/b'", "pattern"]),
        (["beta"], ["key=value", "'beta'"]),
        (["beta=[1"], ["beta", "YAML"]),
        (["method=vae", "num_terms=9"], ["num_terms", "'vae'"]),
        (["analysis=true"], ["'analysis'", "echo/table3"]),
        (["output_kernel=5"], ["'output_kernel'", "network_settings.output_kernel"]),
        (["method=vae", "eval_noise=pool"], ["eval_noise", "'vae'"]),
    ],
)
def test_bad_settings_name_key_value_and_what_is_allowed(overrides, expected):
    with pytest.raises(InputError) as error:
        resolve(TABLE1, None, overrides)
    assert "\n" not in str(error.value)
    for words in expected:
        assert words in str(error.value)


def test_unknown_study_or_preset_gets_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'echo/table1'"):
        read_study("echo/tabel1", CONFIGS)
    with pytest.raises(InputError, match="did you mean 'short'"):
        resolve(TABLE1, "shrot")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: [", "not YAML"),
        ("- a list", "mapping"),
        ("study: x\nbase: {}\naxes: {}\npresets: {}", "'description' is missing"),
        ("study: x\ndescription: y\nbase: 3\naxes: {}\npresets: {}", "'base' is 3"),
        ("study: !!python/object/apply:os.system [echo]", "not YAML"),
    ],
)
def test_bad_study_files_are_refused(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_study(path)


def test_difference_names_old_and_new_values():
    assert difference(tiny(), tiny(epochs=3, num_terms=4)) == ["num_terms: None -> 4", "epochs: 2 -> 3"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study: a\nstudy: b\n", "'study' is given twice"),
        ("1: a\n", "the key 1 is no string"),
        ("study: !!int x\n", "not YAML"),
        ("study: !!python/object/apply:os.system [ls]\n", "not YAML"),
        ("study: " + 3000 * "[", "not YAML"),
        ("a: &a [*a]\n", "'a'"),
    ],
)
def test_yaml_that_is_a_mistake_is_said_in_one_line(tmp_path, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_study(path)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_study_is_utf_8_whatever_the_locale(tmp_path):
    words = "import sys; from echo_tf.runs.studies import read_study; print(ascii(read_study(sys.argv[1]).description))"
    path = tmp_path / "study.yaml"
    path.write_bytes("study: a\ndescription: β\nbase: {}\naxes: {}\npresets: {p: {}}\n".encode())
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = subprocess.run([sys.executable, "-c", words, path], capture_output=True, text=True, env=environment)
    assert found.stdout.strip() == "'\\u03b2'", found.stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("08", 8),
        ("3e-4", 3e-4),
        ("5.", 5.0),
        (".5", 0.5),
        ("-.INF", -math.inf),
        ("true", True),
        ("~", None),
        ("!!int 010", 10),
        *((text, text) for text in ("1:30", "1_0", "1_0.5", "0x10", "0b1", "0o7", "yes", "off", "2020-01-01")),
    ],
)
def test_scalars_are_read_as_people_mean_them_and_text_where_yaml_1_1_has_readings_of_its_own(text, value):
    found = read_yaml(text)
    assert found == value and type(found) is type(value)
    with pytest.raises(ValueError, match="no decimal number"):
        read_yaml("!!int 1_0")


def test_merge_keys_still_merge():
    assert read_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")["b"] == {"x": 1, "y": 3}


def test_a_run_that_no_study_has_is_called_own_and_one_along_its_axes_is_not():
    for overrides in (["epochs=1"], ["dataset=digits"], ["dataset=binary_mnist", "seed=11"], ["beta=2"]):
        assert resolve(TABLE1, None, overrides).preset == "own", overrides
    for preset, overrides in (
        (None, []),
        ("short", ["seed=1", "method=vae"]),
        (None, ["variant=standardized", "beta=1", "epochs=200"]),
    ):
        assert resolve(TABLE1, preset, overrides).preset == (preset or "paper")


@pytest.mark.parametrize(
    ("study", "overrides", "found"),
    [
        ("ais/mixture", ["label=wide99"], {"preset": "short", "wide_weight": 0.99}),
        ("ais/mixture", ["label=wide10"], {"preset": "short", "wide_weight": 0.1}),  # which the preset leaves out
        ("ais/mixture", ["wide_weight=0.3"], {"preset": "own", "wide_weight": 0.3}),
        ("ais/mixture", ["label=wide99", "wide_weight=0.5"], {"preset": "own"}),
        ("ais/samplers", ["label=adapted_1k"], {"preset": "short", "schedule": "adapted", "num_temperatures": 1000}),
        ("echo/table1", ["standardize=true"], {"preset": "short", "method": "echo", "variant": "standardized"}),
        ("echo/table1", ["standardize=true", "epochs=3"], {"preset": "own", "variant": "standardized"}),
        ("echo/table1", ["method=echo", "variant=null"], {"preset": "short", "variant": None, "standardize": False}),
        ("echo/ablation_noise", ["scheme=ring", "num_terms=20"], {"preset": "own", "variant": None}),
        ("echo/ablation_noise", ["scheme=ring"], {"preset": "short", "variant": "ring"}),
        ("isometric/mnist_models", ["latent_dim=64"], {"preset": "short", "variant": "lambda10000", "beta": 0.0784}),
        ("isometric/mnist_models", ["beta=0.5"], {"preset": "own", "variant": None, "latent_dim": 32}),
        ("isometric/mnist_models", ["network_settings.form=toy"], {"preset": "own", "variant": "lambda2000"}),
        ("ais/aae_models", ["network_settings.depth=2"], {"network_settings": {"activation": "relu", "depth": 2}}),
    ],
)
def test_a_setting_brings_what_varies_with_it_and_leaves_the_others_of_its_group(study, overrides, found):
    config = resolve(read_study(study, CONFIGS), "short", overrides)
    assert {key: getattr(config, key) for key in found} == found


@pytest.mark.parametrize(("study", "word"), [("isometric/toy", "multipliers=[true]"), ("echo/table1", "flow_units=[true, 8]")])
def test_a_switch_within_a_list_of_numbers_is_refused(study, word):
    with pytest.raises(InputError, match="it must be of numbers"):
        resolve(read_study(study, CONFIGS), None, [*(["method=iaf-maf"] if "flow" in word else []), word])


def test_settings_without_an_effect_are_not_recorded():
    vae = resolve(TABLE1, "quick", ["method=vae"]).recorded()
    assert not {"num_terms", "scheme", "standardize", "eval_noise", "pool_size", "flow_steps", "pseudo_inputs"} & set(vae)
    assert vae["network_settings"] == {}  # the small network has no output kernel
    assert resolve(TABLE1).recorded()["network_settings"] == {"output_kernel": 4}


@pytest.mark.parametrize(
    "settings", [{"epochs": 2, "steps": 10}, {"epochs": None}, {"epochs": None, "steps": 15, "checkpoint_steps": 10}]
)
def test_a_training_is_so_many_epochs_or_so_many_steps_in_whole_checkpoints(settings):
    with pytest.raises(ValueError, match="'epochs' or 'steps'|no multiple of checkpoint_steps"):
        tiny(**settings)
