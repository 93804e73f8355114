"""How the images of a point's pools take part in a training: which sample is which image (`detector.synthetic`)."""

from collections.abc import Sequence

from pipeline.errors import PipelineError
from pipeline.params import Synthetic
from pipeline.rng import generator
from pipeline.training.sampling import Order, after, epochs, mixed


def kept(synthetic: Sequence[bool], mode: str, seed: int) -> list[int]:
    """Images that take part: all, or with `replace` as many real ones fewer as there are of pools, drawn by seed.

    synthetic: of every image, whether it comes from a pool. With at least as many images of pools as real ones no real one stays.
    """
    real = [i for i, made in enumerate(synthetic) if not made]
    made = len(synthetic) - len(real)
    if mode != "replace" or not made:
        return list(range(len(synthetic)))
    stay = set(generator(seed, "replaced").permutation(real)[made:].tolist())
    return [i for i, of_pool in enumerate(synthetic) if of_pool or i in stay]


def order(synthetic: Sequence[bool], how: Synthetic, seed: int, samples: int) -> Order | None:
    """The image of each sample of a training of so many samples; None: all images in epochs.

    A point without images of pools is trained in epochs whatever `how` says. Raises PipelineError where there are none but those.
    """
    real = [i for i, made in enumerate(synthetic) if not made]
    made = [i for i, made in enumerate(synthetic) if made]
    if not made or (how.mode == "add" and how.share is None):
        return None
    if how.mode == "replace":
        return epochs(kept(synthetic, how.mode, seed), seed)
    if not real:
        raise PipelineError(f"detector.synthetic {how.mode} needs real images; the training set holds {len(made)} images of pools alone")
    of_real, of_pools = epochs(real, seed, "real"), epochs(made, seed, "pools")
    if how.share is not None:
        return mixed(of_real, of_pools, how.share)
    return after(of_pools, round(how.pretrain * samples), of_real)
