"""One look for every figure: colours, markers and names of the arms, matplotlib settings, files with the same bytes each time.

Colours are those of Okabe and Ito, told apart with any kind of colour vision, and a grey; every arm has a marker of
its own too, so that no figure depends on colour.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.report.results import Line, Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Look(NamedTuple):
    label: str
    colour: str
    marker: str


ARMS = {
    "real": Look("real only", "#333333", "o"),
    "traditional": Look("traditional", "#E69F00", "s"),
    "gan": Look("GAN", "#0072B2", "D"),
    "fresh": Look("fresh real", "#009E73", "^"),
    "copy_paste": Look("copy-paste", "#CC79A7", "v"),
    "poisson": Look("Poisson-blended", "#D55E00", "X"),
    "blob": Look("blobs", "#8A8A8A", "<"),
    "hosts": Look("hosts, unlabelled", "#56B4E9", "P"),
    "sham": Look("sham, unlabelled", "#6A3D9A", ">"),
    "diffusion": Look("diffusion", "#B2182B", "*"),
}
OTHER = ("#7A4F2B", "p")
VARIANTS = (("#0072B2", "D"), ("#D55E00", "X"), ("#CC79A7", "v"), ("#56B4E9", "P"), ("#6A3D9A", ">"), ("#8A8A8A", "<"), ("#009E73", "^"))
SETTINGS: dict[str, Any] = {
    "figure.dpi": 160,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#222222",
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "mass-synthesis",
    "svg.fonttype": "path",
}


def variant(arm: str, place: int, label: str) -> str:
    """The name of an arm of one of several experiments: place numbers the experiment, label tells it apart."""
    return f"{arm}@{place}@{label}"


def look(arm: str) -> Look:
    """Name, colour and marker of an arm; arms that are not listed share one colour under their own name.

    A `variant` has the colour of its experiment, and the marker too unless it is of another arm than gan.
    """
    if "@" in arm:
        pool, place, label = arm.split("@", 2)
        colour, marker = VARIANTS[int(place) % len(VARIANTS)]
        return Look(label, colour, marker) if pool == "gan" else Look(f"{look(pool).label}, {label}", colour, look(pool).marker)
    return ARMS.get(arm) or Look(arm.replace("_", " "), *OTHER)


def point_label(point: Point) -> str:
    """What a point is trained on, as in `566 real + 1500 traditional + 300 GAN`."""
    added = " + ".join(f"{n} {look(pool).label}" for pool, n in point.mixture.items())
    return f"{point.n_real} real + {added}" if added else f"{point.n_real} real only"


def line_label(line: Line) -> str:
    """Name of a line of the augmentation curve; it tells its base where that is more than the real images."""
    added = [pool for pool in line.points[-1].mixture if pool != line.arm]
    return look(line.arm).label + (f" on {line.base or ' and '.join(added)}" if added else "")


def line_dash(line: Line) -> str:
    """Lines that start from the real images are solid, those on another base dashed."""
    return "--" if len(line.points[-1].mixture) > 1 else "-"


@contextmanager
def figure(width: float = 6.4, height: float = 4.0, columns: int = 1) -> Iterator[tuple["Figure", Any]]:
    """A matplotlib figure (size in inches) in the project's style, drawn without a display, closed at the end.

    Yields (figure, axes); axes is one Axes, or a flat array of `columns` of them.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, **SETTINGS}
    with matplotlib.rc_context(settings):
        made = Figure(figsize=(width, height))
        FigureCanvasAgg(made)
        yield made, made.subplots(1, columns)


def save(made: "Figure", folder: Path, name: str, vector: bool = True) -> None:
    """Write `name`.png and, unless it holds photographs, `name`.svg; without dates or versions, so that equal data give equal bytes."""
    made.savefig(folder / f"{name}.png", metadata={"Software": None})
    if vector:
        made.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
