"""pipeline.training.precision: bf16 only where it is quick, unless it is asked for."""

import logging
from pathlib import Path

import pytest
import torch

from pipeline.training import engine, precision


@pytest.mark.parametrize(("native", "auto"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_what_the_device_has_instructions_for(monkeypatch, native, auto):
    monkeypatch.setattr(precision, "native", lambda device: native)
    wrapped = engine._wrapped(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]), "auto", None)
    assert precision.resolved("auto") == auto
    assert type(wrapped) is engine.PRECISIONS[auto]
    assert precision.resolved("fp32") == "fp32"


def test_bf16_where_it_is_emulated_is_warned_of_once(monkeypatch, caplog):
    monkeypatch.setattr(precision, "native", lambda device: False)
    precision._warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [precision.resolved("bf16") for _ in range(2)] == ["bf16", "bf16"]
    assert [one for one in caplog.messages if "emulated" in one and "runtime.precision: auto" in one] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_cpu_has_what_its_flags_say():
    listed = Path("/proc/cpuinfo")
    flags = next((line.split() for line in listed.read_text().splitlines() if line.startswith("flags")), None) if listed.is_file() else None
    if flags is None:
        pytest.skip("this system does not list the processor's instructions")
    assert precision.native("cpu") == ("avx512_bf16" in flags or "amx_tile" in flags)
