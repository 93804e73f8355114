"""LPIPS (Zhang et al. 2018) between grey patches, on the whole patch or on a region of it."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import weights

Images = NDArray[np.floating[Any]]
BATCH = 32


class Lpips:
    """LPIPS version 0.1 with AlexNet, the paper's measure (4.4): 0 for equal patches, larger for less similar ones.

    folder: of the stage weights. The linear weights on top come with the package `lpips`.
    """

    def __init__(self, folder: Path) -> None:
        import lpips

        arrays, self.record = weights.read(folder, "alexnet")
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            self.network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
        convolutions = [module for module in self.network.net.modules() if isinstance(module, torch.nn.Conv2d)]
        for number, conv in enumerate(convolutions, 1):
            conv.load_state_dict({part: torch.from_numpy(arrays[f"conv{number}.{part}"]) for part in ("weight", "bias")})
        self.network.requires_grad_(False)

    def __call__(self, first: Images, second: Images, region: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """(N,) distances of N pairs. first, second: (N, P, P) or RGB (N, 3, P, P) in [0, 1]; P at least 32.

        region: (N, P, P) bool, none empty: the distance is averaged over these pixels of the map that LPIPS gives when
        each layer's distances are upsampled to the patch. The pixels around still enter through the receptive fields.
        Raises ValueError where shapes differ or a region is empty.
        """
        if first.shape != second.shape or (
            region is not None and region.shape[:1] + region.shape[-2:] != first.shape[:1] + first.shape[-2:]
        ):
            raise ValueError(f"shapes differ: {first.shape}, {second.shape}, region {None if region is None else region.shape}")
        if region is not None and not region.any((1, 2)).all():
            raise ValueError("a region is empty")
        found = [np.zeros(0)]
        self.network.spatial = region is not None
        for start in range(0, len(first), BATCH):
            part = slice(start, start + BATCH)
            with torch.inference_mode():
                distance = self.network(_rgb(first[part]), _rgb(second[part]), normalize=True)[:, 0].double().numpy()
            found.append(
                distance[:, 0, 0] if region is None else np.array([d[r].mean() for d, r in zip(distance, region[part], strict=True)])
            )
        return np.concatenate(found)

    def embed(self, images: Images) -> NDArray[np.float32]:
        """(N, D) vectors whose squared Euclidean distances are the LPIPS of the whole patches. images: as above."""
        import lpips

        found = []
        for start in range(0, len(images), BATCH):
            with torch.inference_mode():
                layers = self.network.net(self.network.scaling_layer(2 * _rgb(images[start : start + BATCH]) - 1))
                parts = [
                    (lpips.normalize_tensor(layer) * (linear.model[-1].weight / (layer.shape[2] * layer.shape[3])).sqrt()).flatten(1)
                    for layer, linear in zip(layers, self.network.lins, strict=True)
                ]
            found.append(torch.cat(parts, 1).numpy())
        return np.concatenate(found)

    def nearest(self, queries: Images, bank: Images) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Index in `bank` of the most similar image of each query, and the distance (whole patches)."""
        wanted = self.embed(queries)
        best, where = np.full(len(queries), np.inf), np.zeros(len(queries), np.intp)
        for start in range(0, len(bank), BATCH):
            part = self.embed(bank[start : start + BATCH])
            products = (torch.from_numpy(wanted) @ torch.from_numpy(part).T).numpy()  # PyTorch's, for its threads are runtime.threads
            distances = ((wanted**2).sum(1)[:, None] + (part**2).sum(1)[None] - 2 * products).clip(0).astype(np.float64)
            closest = distances.argmin(1)
            value = distances[np.arange(len(queries)), closest]
            better = value < best
            best[better], where[better] = value[better], closest[better] + start
        return where, best


def _rgb(images: Images) -> torch.Tensor:
    grey = images.ndim == 3
    tensor = torch.from_numpy(np.ascontiguousarray(images, np.float32))
    return tensor[:, None].expand(-1, 3, -1, -1) if grey else tensor
