"""Table 1 of the paper: Shen, Hao, Gou, Wang, Computer Methods and Programs in Biomedicine 2021, doi 10.1016/j.cmpb.2021.106019."""

from typing import NamedTuple


class Generator(NamedTuple):
    """One column of Table 1. arch, labels: as in params `gen`. Values: (DDSM, private set)."""

    title: str
    arch: str
    labels: str
    lpips: tuple[float, float]
    recall: tuple[float, float]


GENERATORS = (
    Generator("two-channel CRN", "crn", "two", (0.02549, 0.17134), (0.8165, 0.8100)),
    Generator("tri-label CRN", "crn", "tri", (0.02436, 0.16768), (0.8188, 0.8128)),
    Generator("two-channel U\N{NON-BREAKING HYPHEN}Net", "unet", "two", (0.02170, 0.15839), (0.8259, 0.8177)),
    Generator("tri-label U\N{NON-BREAKING HYPHEN}Net", "unet", "tri", (0.02021, 0.15342), (0.8273, 0.8182)),
)
SETS = ("DDSM", "private")  # the order of the values
LABELS = {"tri": "tri-label", "two": "two-channel"}


def generator_title(arch: str, labels: str) -> str:
    """The paper's name of a generator, and a like one for architectures that the paper has not."""
    known = {(one.arch, one.labels): one.title for one in GENERATORS}
    return known.get((arch, labels), f"{LABELS[labels]} {arch.upper()}")
