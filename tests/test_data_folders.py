"""Folders of images, written by Pillow."""

import numpy as np
import PIL.Image
import pytest

from echo_tf.data import preparing
from tests.test_data_files import GREY, RGB, RNG, read, refused, same


def save_images(folder, images, ending="png", names=None, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for i, x in enumerate(images):
        PIL.Image.fromarray(x).save(folder / f"{names[i] if names else f'{i:03}'}.{ending}", **options)
    return folder


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "pgm"])
def test_a_folder_of_grey_images_comes_in_by_the_order_of_names(tmp_path, ending):
    order = RNG.permutation(12)
    save_images(tmp_path / "mine", GREY, ending, names=[f"{i:03}" for i in order])
    same(read(tmp_path / "mine", test_fraction=0), train=GREY[np.argsort(order)])


def test_jpegs_are_what_pillow_makes_of_them(tmp_path):
    save_images(tmp_path / "mine", RGB, "jpg")
    expected = np.stack([np.asarray(PIL.Image.open(tmp_path / "mine" / f"{i:03}.jpg")) for i in range(12)])
    same(read(tmp_path / "mine", test_fraction=0), train=expected)


def test_subfolders_are_classes_and_split_folders_splits(tmp_path):
    for split, n in (("train", 4), ("validation", 2), ("test", 3)):
        for k, name in enumerate(("bee", "ape")):
            save_images(tmp_path / "mine" / split / name, RGB[6 * k : 6 * k + n])
    (tmp_path / "mine/train/.DS_Store").write_text("x")
    (tmp_path / "mine/train/ape/labels.txt").write_text("x")
    data, notes = preparing.read("mine", [tmp_path / "mine"])
    expected = {split: np.concatenate([RGB[6 : 6 + n], RGB[:n]]) for split, n in (("train", 4), ("valid", 2), ("test", 3))}
    same(data, [0] * 4 + [1] * 4, **expected)
    assert data.class_names == ("ape", "bee") and data.labels["test"].tolist() == [0] * 3 + [1] * 3
    assert notes == ["not used of mine: labels.txt"]


def test_two_folders_may_be_the_splits(tmp_path):
    save_images(tmp_path / "my_train", GREY)
    save_images(tmp_path / "my_test", GREY[:3])
    same(read(tmp_path / "my_train", tmp_path / "my_test"), train=GREY, test=GREY[:3])


def test_images_in_black_and_white_are_binary_and_16_bits_need_their_range(tmp_path):
    bits = GREY > 127
    save_images(tmp_path / "bits", bits)
    data = read(tmp_path / "bits", test_fraction=0)
    assert data.maximum == 1
    same(data, train=bits)
    deep = GREY.astype(np.uint16) * 257
    save_images(tmp_path / "deep", deep)
    refused("declare their range", tmp_path / "deep")
    found = read(tmp_path / "deep", limits=(0, 65535), test_fraction=0).splits["train"]
    np.testing.assert_array_equal(np.rint(found[..., 0] * 65535.0), deep)


def test_palettes_opaque_alpha_and_grey_among_colours_keep_their_pixels(tmp_path):
    opaque = np.concatenate([RGB, np.full((12, 8, 6, 1), 255, np.uint8)], axis=3)
    save_images(tmp_path / "a", opaque)
    same(read(tmp_path / "a", test_fraction=0), train=RGB)
    few = RGB[:1] // 128 * 255
    (tmp_path / "b").mkdir()
    PIL.Image.fromarray(few[0]).quantize(256).save(tmp_path / "b/0.png")
    PIL.Image.fromarray(GREY[1]).save(tmp_path / "b/1.png")
    data, notes = preparing.read("mine", [tmp_path / "b"], test_fraction=0)
    same(data, train=np.stack([few[0], np.repeat(GREY[1][..., None], 3, axis=2)]))
    assert notes == ["images of b are L and RGB: all taken as RGB"]


def broken_folder(folder, kind):
    save_images(folder, GREY[:3])
    if kind == "size":
        save_images(folder, GREY[:1, :5], names=["odd"])
    elif kind == "transparent":
        save_images(folder, np.concatenate([RGB, RGB[..., :1]], axis=3)[:1], names=["odd"])
    elif kind == "truncated":
        (folder / "odd.png").write_bytes((folder / "000.png").read_bytes()[:-30])
    elif kind == "text":
        (folder / "odd.png").write_text("<html>")
    elif kind == "annex":
        (folder / "odd.png").symlink_to(folder / ".git/annex/odd.png")
    elif kind == "lfs":
        (folder / "odd.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    elif kind == "beside":
        save_images(folder / "cats", GREY[:1])
    elif kind == "deep":
        for path in folder.iterdir():
            path.unlink()
        save_images(folder / "a" / "b", GREY[:1])
    elif kind == "mixed":
        save_images(folder / "train", GREY[:1])
        save_images(folder / "cats", GREY[:1])
    elif kind == "frames":
        frames = [PIL.Image.fromarray(x) for x in GREY[:2]]
        frames[0].save(folder / "odd.gif", save_all=True, append_images=frames[1:])
    elif kind == "cmyk":
        PIL.Image.fromarray(RGB[0]).convert("CMYK").save(folder / "odd.jpg")
    elif kind == "none":
        for path in folder.iterdir():
            path.unlink()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("size", "000.png is of 6x8, .*odd.png of 6x5"),
        ("transparent", "transparent"),
        ("truncated", "odd.png cannot be read"),
        ("text", "odd.png cannot be read"),
        ("lfs", "git lfs pull"),
        ("annex", "a link to a file that is not there"),
        ("beside", "of which class"),
        ("deep", "too deep"),
        ("mixed", "beside another"),
        ("frames", "2 frames"),
        ("cmyk", "CMYK"),
        ("none", "no images"),
    ],
)
def test_folders_that_leave_something_open_are_refused(tmp_path, kind, words):
    broken_folder(tmp_path / "mine", kind)
    refused(words, tmp_path / "mine")


def test_the_same_images_in_a_folder_an_array_and_a_table_are_the_same_dataset(tmp_path):
    square = RNG.integers(0, 256, (12, 8, 8), np.uint8)
    save_images(tmp_path / "folder", square)
    np.save(tmp_path / "a.npy", square / 255)
    np.savetxt(tmp_path / "a.csv", square.reshape(12, 64), fmt="%d", delimiter=",")
    hashes = [read(tmp_path / name).sha256 for name in ("folder", "a.npy", "a.csv")]
    assert hashes[0] == hashes[1] == hashes[2]
