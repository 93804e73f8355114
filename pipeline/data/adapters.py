"""Sources of mammograms. An adapter takes all params and yields `Case` and `Rejected`; it is imported when it is used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.canonical import Case, Rejected

if TYPE_CHECKING:
    from pipeline.params import Params

Adapter = Callable[["Params"], Iterator[Case | Rejected]]


def _phantom(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.phantom import cases

    return cases(params.phantom, params.seed)


def _table(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.table import cases

    return cases(Path(str(params.data.root)))


ADAPTERS: dict[str, Adapter] = {"phantom": _phantom, "table": _table}
