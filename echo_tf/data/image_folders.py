"""Folders of images: FOLDER/image, FOLDER/class/image, FOLDER/train/image or FOLDER/train/class/image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from echo_tf.data import naming
from echo_tf.data.contents import Contents, Part
from echo_tf.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
MODES = ("1", "L", "RGB", "I;16", "I", "F")
NO_DATA = ("thumbs.db", "desktop.ini")


def read(folder: Path) -> Contents:
    """The images of a folder by the order of their names, with the names of their subfolders as labels.

    Grey images among coloured ones are repeated over three channels; what is no image is passed over, and said.

    Raises:
        InputError: for no images, images of different sizes, with transparency or several frames, or that are damaged.
    """
    subfolders = _subfolders(folder)
    of_splits = [sub for sub in subfolders if naming.split_named(sub.name)]
    if of_splits and len(of_splits) < len(subfolders):
        other = next(sub.name for sub in subfolders if sub not in of_splits)
        raise InputError(f"{folder} has folders for splits ({of_splits[0].name}) beside another ({other}): have one kind.")
    listed, other = {}, []
    for place in of_splits or [folder]:
        split = naming.split_named(place.name) if of_splits else naming.of_file(folder).split
        if split in listed:
            raise InputError(f"{folder} has two folders for the split {split}: {', '.join(sub.name for sub in of_splits)}.")
        listed[split] = (place, *_list(place, other))
    if of_splits and list(_images(folder, other)):
        raise InputError(f"{folder} has images beside its folders {', '.join(sub.name for sub in of_splits)}.")
    size, modes = _forms([path for _, paths, _ in listed.values() for path in paths])
    mode = next((mode for mode in ("RGB", "L") if mode in modes), next(iter(modes)))
    parts = []
    for split, (place, paths, classes) in listed.items():
        parts.append(Part("examples", split, _load(paths, size, mode), str(place)))
        if classes is not None:
            parts.append(Part("labels", split, np.array(classes), f"the folders of {place}"))
    names = sorted(path.name for path in other)
    notes = [f"not used of {folder.name}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"] if names else []
    if len(modes) > 1:
        notes.append(f"images of {folder.name} are {' and '.join(sorted(modes))}: all taken as {mode}")
    return Contents(parts, notes)


def _subfolders(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def _list(folder, other):
    """The images of a folder, and the class of each, None where there are no classes; appends what is no image to `other`."""
    classes = _subfolders(folder)
    direct = list(_images(folder, other))
    if not classes:
        if not direct:
            raise InputError(f"{folder} has no images ({', '.join(ENDINGS)}).")
        return direct, None
    if direct:
        raise InputError(f"{folder} has images ({direct[0].name}) beside folders ({classes[0].name}): of which class are they?")
    deeper = next((sub for place in classes for sub in _subfolders(place)), None)
    if deeper is not None:
        raise InputError(f"{deeper} lies too deep: folders go FOLDER/class/image or FOLDER/train/class/image.")
    found = [(path, place.name) for place in classes for path in _images(place, other)]
    if not found:
        raise InputError(f"{folder} has no images ({', '.join(ENDINGS)}) in its folders.")
    return [path for path, _ in found], [name for _, name in found]


def _images(folder, other) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not path.exists():  # git-annex leaves such of what it has not fetched
            raise InputError(f"{path} is a link to a file that is not there: fetch it, or remove the link.")
        if path.is_file() and path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            yield path
        elif path.is_file() and not path.name.startswith(".") and path.name.lower() not in NO_DATA:
            other.append(path)


def _forms(paths):
    """The size of all images, and the modes (Pillow's word for depth and bands) that are among them."""
    sizes, modes = {}, {}
    for path in paths:
        with _open(path) as image:
            sizes.setdefault(image.size, path)
            modes.setdefault(_mode(image, path), path)
    if len(sizes) > 1:
        (one, other), (first, second) = list(sizes)[:2], list(sizes.values())[:2]
        raise InputError(
            f"{first} is of {one[0]}x{one[1]}, {second} of {other[0]}x{other[1]}: bring all images to one size first."
        )
    if len(modes) > 1 and not modes.keys() <= {"1", "L", "RGB"}:
        found = ", ".join(f"{path} is {mode}" for mode, path in list(modes.items())[:2])
        raise InputError(f"images of different depths: {found}; bring all to one first.")
    return next(iter(sizes)), set(modes)


def _open(path):
    import PIL.Image
    import PIL.ImageOps

    try:
        image = PIL.Image.open(path)
        frames = getattr(image, "n_frames", 1)
        turned = PIL.ImageOps.exif_transpose(image) if image.getexif().get(0x0112, 1) != 1 else image
    except Exception as error:  # Pillow's readers raise what they like
        raise _damaged(path, error) from error
    if frames > 1:
        raise InputError(f"{path} has {frames} frames: save each as an image.")
    return turned


def _damaged(path, error):
    with open(path, "rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return InputError(f"{path} is a pointer of git-lfs, not the data: fetch them with: git lfs pull.")
    return InputError(f"{path} cannot be read as an image (truncated or damaged?): {' '.join(str(error).split())[:200]}")


def _mode(image, path):
    """The mode that holds an image without loss."""
    if image.mode in ("P", "PA", "LA", "RGBA") or "transparency" in image.info:
        return _opaque(image, path).mode
    mode = "I;16" if image.mode.startswith("I;16") else image.mode
    if mode not in MODES:
        raise InputError(f"{path} is in {image.mode}: save it as grey or RGB.")
    return mode


def _opaque(image, path):
    """An image of a palette or with transparency as grey or RGB; refused if anything in it is transparent."""
    try:
        full = image.convert("RGBA")
    except Exception as error:  # Pillow's readers raise what they like
        raise _damaged(path, error) from error
    if full.getextrema()[3][0] < 255:
        raise InputError(f"{path} is transparent in places: put it on a background first.")
    red, green, blue, _ = full.split()
    grey = image.mode == "LA" or (image.mode != "RGBA" and red.tobytes() == green.tobytes() == blue.tobytes())
    return red if grey else full.convert("RGB")


def _load(paths, size, mode):
    """Images (n, H, W) or (n, H, W, 3)."""
    width, height = size
    dtype = {"1": np.uint8, "I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)
    images = np.empty((len(paths), height, width, *([3] if mode == "RGB" else [])), dtype)
    for i, path in enumerate(paths):
        with _open(path) as image:
            try:
                if _mode(image, path) != image.mode and mode != "I;16":
                    image = _opaque(image, path)
                images[i] = np.asarray(image.convert(mode) if image.mode != mode and mode in ("L", "RGB") else image)
            except InputError:
                raise
            except Exception as error:  # truncated in its pixels
                raise _damaged(path, error) from error
    return images
