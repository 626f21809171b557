"""Imports: what is written is what was read, or nothing is; what is damaged later is said in a line."""

import json
import random
import shutil
from types import SimpleNamespace

import filelock
import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds

from echo_tf import data
from echo_tf.data import canonical, commands, preparing, storing
from echo_tf.errors import InputError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (30, 8, 6, 3), np.uint8)
CLASSES = np.arange(30) % 3
SIZES = (2, 3, 2, 2, 2)  # of the factors of a small dSprites


def run(capsys, action, directory, **options):
    """(exit status, output) of `run.py data ACTION`."""
    status = commands.main(SimpleNamespace(action=action, data_dir=directory, **options))
    return status, capsys.readouterr().out


def import_arrays(directory, name="mine", **arrays):
    directory.mkdir(exist_ok=True, parents=True)
    np.savez(directory / f"{name}_file.npz", **arrays)
    return preparing.import_files(name, [directory / f"{name}_file.npz"], directory / "data")


def refuses_to_load(directory, words=""):
    with pytest.raises(InputError, match=words) as error:
        data.load("mine", directory)
    assert "\n" not in str(error.value)


FORMS = {
    "colours": {"x_train": RGB, "x_test": RGB[:5]},
    "classes": {"x_train": RGB, "y_train": CLASSES, "x_test": RGB[:5], "y_test": CLASSES[:5]},
    "names": {
        "x_train": RGB,
        "y_train": np.array(["ape", "bee", "big cat"])[CLASSES],
        "x_test": RGB[:5],
        "y_test": ["bee"] * 5,
    },
    "some labels": {"x_train": RGB, "y_train": CLASSES, "x_valid": RGB[:4], "x_test": RGB[:5]},
    "no test": {"x_train": RGB[..., 0]},
    "binary": {"x_train": RGB[..., 0] > 99},
    "two channels": {"x_train": RGB[..., :2]},
    "seven channels": {"x_train": RNG.integers(0, 256, (9, 8, 8, 7), np.uint8)},
    "floats": {"x_train": RNG.normal(size=(20, 8, 6, 3)), "x_test": RNG.normal(size=(20, 8, 6, 3))},
    "vectors": {"x_train": RNG.normal(size=(50, 7)).astype(np.float32), "y_train": np.arange(50) - 9},
    "whole vectors": {"x_train": RNG.integers(0, 256, (50, 7), np.uint8)},
    "factors": {"images": RGB[:12], "factors": np.stack(np.unravel_index(np.arange(12), (3, 4)), 1)},
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_imported_is_loaded_again(tmp_path, form):
    arrays = {name: np.asarray(x) for name, x in FORMS[form].items()}
    imported = import_arrays(tmp_path, **arrays)
    loaded = data.load("mine", tmp_path / "data")
    assert loaded.sha256 == imported.data.sha256 and loaded.summary == imported.data.summary
    assert loaded.variant == imported.data.variant and loaded.source == "tfds mine/1.0.0" and "mine_file.npz" in loaded.variant
    assert loaded.class_names == (("ape", "bee", "big cat") if form == "names" else ())
    for split, x in loaded.splits.items():
        given = arrays.get(f"x_{split}", arrays.get("images"))
        np.testing.assert_array_equal(x.reshape(given.shape), given.astype(x.dtype))
        if f"y_{split}" in arrays and form != "names":
            np.testing.assert_array_equal(loaded.labels[split], arrays[f"y_{split}"])
        assert (split in loaded.labels) == (f"y_{split}" in arrays)
    if form == "factors":
        np.testing.assert_array_equal(loaded.factors["train"], arrays["factors"])
        assert loaded.factor_sizes == (3, 4)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["mine"]


def test_the_end_of_an_import_says_what_was_written_and_the_list_shows_it(capsys, tmp_path):
    np.savez(tmp_path / "a.npz", x=RGB[..., 0] % 17, y=CLASSES, z=1)
    options = {"name": "mine", "files": [str(tmp_path / "a.npz")], "range": [0.0, 16.0], "test_fraction": 0.2}
    status, said = run(capsys, "import", tmp_path / "data", **options)
    assert status == 0 and "note: not used of a.npz: z" in said
    folder = tmp_path / "data/mine/1.0.0"
    assert said.splitlines()[-1] == f"wrote mine: 24 train, 6 test, 8x6x1, uint8 0..16, 3 classes: {folder}"
    assert data.load("mine", tmp_path / "data").floats("train").max() == 1.0
    _, listed = run(capsys, "list", tmp_path / "data")
    assert f"mine           24 train, 6 test, 8x6x1, uint8 0..16          {folder}" in listed
    status, said = run(capsys, "verify", tmp_path / "data", names=["mine"])
    assert status == 0 and "its SHA-256 when it was imported" in said


def test_an_import_over_an_existing_name_is_refused(tmp_path):
    import_arrays(tmp_path, x_train=RGB)
    with pytest.raises(InputError, match="already prepared"):
        import_arrays(tmp_path, x_train=RGB[:9])
    assert len(data.load("mine", tmp_path / "data").splits["train"]) == 30


@pytest.mark.parametrize("name", ["Mine", "my-data", "_x", "a b", "downloads", "digits", "../up", "é"])
def test_names_that_a_study_could_not_use_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="name"):
        preparing.import_files(name, [tmp_path / "a.npz"], tmp_path / "data")


@pytest.mark.parametrize(
    "arrays",
    [{"x_test": RGB}, {"x_train": RGB // 20}, {"x_train": RGB, "x_test": RGB[:, :4]}, {"x_train": RGB, "y_train": CLASSES[:3]}],
)
def test_what_is_refused_leaves_nothing(tmp_path, arrays):
    with pytest.raises(InputError) as error:
        import_arrays(tmp_path, **arrays)
    assert "\n" not in str(error.value) and "mine_file.npz" in str(error.value)
    assert not any((tmp_path / "data").rglob("*"))


def test_a_catalogued_name_takes_only_what_it_should_be_and_goes_before_the_canonical_file(tmp_path, monkeypatch):
    monkeypatch.setitem(data.CATALOG, "mnist", data.CATALOG["mnist"]._replace(sizes={"train": 12, "test": 5}))
    x = RNG.integers(0, 256, (12, 28, 28), np.uint8)
    with pytest.raises(InputError, match="has the splits"):
        import_arrays(tmp_path, "mnist", x_train=x[:3], x_test=x[:5])
    with pytest.raises(InputError, match="28x28x1 images"):
        import_arrays(tmp_path, "mnist", x_train=x[:, :8], x_test=x[:5, :8])
    import_arrays(tmp_path, "mnist", x_train=x, x_test=x[:5])
    (tmp_path / "data/mnist.npz").write_bytes(b"never read")
    assert data.load("mnist", tmp_path / "data").source == "tfds mnist/1.0.0"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_import_that_is_broken_off_leaves_nothing(tmp_path, monkeypatch, error):
    def break_off(*_):
        raise error

    monkeypatch.setattr(storing, "_compare", break_off)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError):
        import_arrays(tmp_path, x_train=RGB)
    assert not any((tmp_path / "data").rglob("*"))


def test_what_comes_back_changed_is_not_kept(tmp_path, monkeypatch):
    def altered(*args):
        for batch in tfds_batches(*args):
            batch["image"].flat[7] ^= 1
            yield batch

    tfds_batches = storing.tfds_reading.batches
    monkeypatch.setattr(storing.tfds_reading, "batches", altered)
    with pytest.raises(InputError, match="came back changed"):
        import_arrays(tmp_path, x_train=RGB)
    assert not any((tmp_path / "data").rglob("*"))


def test_leftovers_of_a_killed_import_are_no_dataset_and_go_with_the_next(tmp_path):
    directory = tmp_path / "data"
    for left in (".mine.incomplete-abc/mine/1.0.0", "mine/incomplete.XYZ_1.0.0", ".other.incomplete-abc"):
        (directory / left).mkdir(parents=True)
        (directory / left / "dataset_info.json").write_text("{}")
    with pytest.raises(InputError, match="no dataset 'mine'"):
        data.load("mine", directory)
    import_arrays(tmp_path, x_train=RGB)
    assert sorted(path.name for path in directory.iterdir()) == [".other.incomplete-abc", "mine"]
    assert [path.name for path in (directory / "mine").iterdir()] == ["1.0.0"]


def test_two_imports_of_one_name_at_once_are_refused(tmp_path):
    (tmp_path / "data").mkdir()
    with filelock.FileLock(tmp_path / "data/.mine.lock"), pytest.raises(InputError, match="another process is importing"):
        import_arrays(tmp_path, x_train=RGB)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data directory with an imported dataset, and one as TFDS writes it, by name."""
    directory = tmp_path_factory.mktemp("prepared")
    import_arrays(directory, x_train=RGB, y_train=np.array(["ape", "bee", "cat"])[CLASSES])
    store(directory / "tfds", RGB, "as TFDS has it", label=CLASSES)
    return {"ours": directory / "data", "tfds": directory / "tfds"}


def store(directory, images, description, splits=("train",), **labels):
    """A dataset that `run.py data import` has not written, or wrote before it left notes."""
    features = {"image": tfds.features.Image(shape=images.shape[1:])}
    features |= {name: tfds.features.Scalar(dtype=np.int64) for name in labels}
    rows = [{"image": x, **{name: int(y[i]) for name, y in labels.items()}} for i, x in enumerate(images)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="mine",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(rows)) for split in splits},
        data_dir=directory,
        description=description,
        disable_shuffling=True,
    )


DAMAGE = {
    "shard cut off": ("*.tfrecord*", lambda content: content[: len(content) // 2]),
    "shard cut off at its beginning": ("*.tfrecord*", lambda content: b""),
    "shard with a flipped bit": ("*.tfrecord*", lambda content: content[:999] + bytes([content[999] ^ 1]) + content[1000:]),
    "shard gone": ("*.tfrecord*", None),
    "info cut off": ("dataset_info.json", lambda content: content[:100]),
    "info of another kind": ("dataset_info.json", lambda content: b"[]"),
    "info without splits": ("dataset_info.json", lambda content: b'{"name": "mine"}'),
    "features cut off": ("features.json", lambda content: content[:50]),
    "features gone": ("features.json", None),
    "notes gone": ("metadata.json", None),
    "notes cut off": ("metadata.json", lambda content: content[:90]),
    "notes changed": ("metadata.json", lambda content: content.replace(b"ape", b"apt")),
}


@pytest.mark.parametrize(
    ("whose", "damage"), [(whose, one) for whose in ("ours", "tfds") for one in DAMAGE if whose == "ours" or "notes" not in one]
)
def test_a_damaged_dataset_is_said_in_one_line(prepared, tmp_path, capsys, whose, damage):
    pattern, change = DAMAGE[damage]
    shutil.copytree(prepared[whose] / "mine", tmp_path / "mine")
    path = next((tmp_path / "mine/1.0.0").glob(pattern))
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    refuses_to_load(tmp_path, "mine/1.0.0 is damaged .*: remove that folder, and import or fetch the dataset anew")
    assert run(capsys, "list", tmp_path)[0] == 0


def test_random_damage_never_changes_what_is_loaded(prepared, tmp_path):
    whole = data.load("mine", prepared["ours"])
    chance = random.Random(0)
    for _ in range(60):
        shutil.rmtree(tmp_path / "mine", ignore_errors=True)
        shutil.copytree(prepared["ours"] / "mine", tmp_path / "mine")
        path = chance.choice(sorted((tmp_path / "mine/1.0.0").iterdir()))
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        try:
            loaded = data.load("mine", tmp_path)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert (loaded.sha256, loaded.class_names, loaded.limits) == (whole.sha256, whole.class_names, whole.limits)


def test_datasets_of_tfds_and_imports_of_before_still_load(prepared, tmp_path):
    loaded = data.load("mine", prepared["tfds"])
    assert loaded.variant == "as in TensorFlow Datasets" and loaded.maximum == 255 and not loaded.checked
    np.testing.assert_array_equal(loaded.splits["train"], RGB)
    np.testing.assert_array_equal(loaded.labels["train"], CLASSES)
    store(tmp_path, RGB // 200, "imported from old.npz (SHA-256 0123)", splits=("train", "validation"))
    loaded = data.load("mine", tmp_path)
    assert loaded.variant == "imported from old.npz (SHA-256 0123)" and loaded.maximum == 1
    assert list(loaded.splits) == ["train", "valid"] and not loaded.labels


def test_an_import_of_before_whose_range_was_guessed_is_refused_but_not_tfds_s_dark_images(tmp_path):
    store(tmp_path / "old", RGB // 16, "imported from old.npz")
    refuses_to_load(tmp_path / "old", r"must be imported anew: integers of 0..15 .* --range 0 15")
    store(tmp_path / "tfds", RGB // 16, "of bytes")
    assert data.load("mine", tmp_path / "tfds").maximum == 255


def test_a_prepared_dataset_without_images_or_training_part_is_refused(tmp_path):
    store(tmp_path, RGB, "", splits=("test",))
    refuses_to_load(tmp_path, "has no split train, but test")
    path = tmp_path / "mine/1.0.0/features.json"
    path.write_text(json.dumps(json.loads(path.read_text())).replace('"image": {"image"', '"sound": {"image"'))
    refuses_to_load(tmp_path, "has no images of one size: its features are sound")


@pytest.fixture
def small_sprites(monkeypatch):
    """Images and factors of a dSprites with few values, which the catalogue then takes for the whole."""
    names = ("shape", "scale", "orientation", "x", "y")
    factors = canonical.grid(SIZES)
    known = data.CATALOG["dsprites"]._replace(sizes={"train": len(factors)}, factors=dict(zip(names, SIZES)))
    monkeypatch.setitem(data.CATALOG, "dsprites", known)
    return (RNG.random((len(factors), 64, 64)) < 0.3).astype(np.uint8), factors


def is_sprites(loaded, images, factors):
    assert isinstance(loaded.splits["train"], data.PackedImages) and loaded.factor_sizes == SIZES
    np.testing.assert_array_equal(loaded.splits["train"][:][..., 0], images)
    order = RNG.permutation(len(factors))
    np.testing.assert_array_equal(loaded.images(factors[order])[..., 0], images[order])


@pytest.mark.parametrize("form", ["npz", "hdf5"])
def test_dsprites_come_in_from_their_authors_files_packed(tmp_path, small_sprites, form):
    images, factors = small_sprites
    path = tmp_path / f"dsprites_ndarray.{form}"
    classes = np.concatenate([np.zeros((len(factors), 1), np.int64), factors], axis=1)
    if form == "npz":
        np.savez_compressed(path, metadata=np.array({"a": 1}, dtype=object), imgs=images, latents_classes=classes)
    else:
        with h5py.File(path, "w") as file:
            file["imgs"], file["latents/classes"] = images, classes
    preparing.import_files("dsprites", [path], tmp_path / "data")
    loaded = data.load("dsprites", tmp_path / "data")
    is_sprites(loaded, images, factors)
    assert "lit pixels in place of the original's 128,328,862" in loaded.variant
    path.write_bytes(path.read_bytes()[:-500])
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(InputError, match="cannot be read as dSprites"):
        preparing.import_files("dsprites", [path], tmp_path / "data")


def test_dsprites_of_tfds_are_put_in_the_order_of_their_factors(tmp_path, small_sprites):
    images, factors = small_sprites
    order = RNG.permutation(len(factors))
    names = ("label_shape", "label_scale", "label_orientation", "label_x_position", "label_y_position")
    store(tmp_path, images[order][..., None], "", **dict(zip(names, factors[order].T)))
    (tmp_path / "mine").rename(tmp_path / "dsprites")
    is_sprites(data.load("dsprites", tmp_path), images, factors)


def test_labels_of_tfds_under_several_names_are_factors(tmp_path):
    wall, shape = np.arange(30) % 5, np.arange(30) // 5
    store(tmp_path, RGB, "3D shapes", label_wall=wall, label_shape=shape)
    loaded = data.load("mine", tmp_path)
    assert dict(zip(loaded.factor_names, loaded.factor_sizes)) == {"shape": 6, "wall": 5}
    place = [loaded.factor_names.index(name) for name in ("wall", "shape")]
    wanted = np.empty((1, 2), int)
    wanted[0, place] = 3, 4
    np.testing.assert_array_equal(loaded.images(wanted)[0], RGB[23] / np.float32(255))
