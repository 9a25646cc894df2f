"""The hook that puts the program into the wheel."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest


@pytest.fixture
def hook(monkeypatch, tmp_path):
    """The hook for a package in an empty folder; hatchling is only there while a wheel is built."""
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    interface = types.ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = object
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("hatch_build", Path(__file__).parents[1] / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("PATH", str(tmp_path))
    hook = module.Program()
    hook.root, hook.directory = str(tmp_path / "python"), str(tmp_path / "dist")
    return hook


def test_a_wheel_lacks_the_program_on_request_alone(hook, monkeypatch, tmp_path):
    monkeypatch.delenv("KSCOPE_BINARY", raising=False)
    with pytest.raises(RuntimeError, match="no Rust sources in .* KSCOPE_BINARY=none"):
        hook.initialize("standard", {})
    (tmp_path / "Cargo.toml").touch()
    with pytest.raises(RuntimeError, match="no cargo on the path.* KSCOPE_BINARY=none"):
        hook.initialize("standard", {})
    monkeypatch.setenv("KSCOPE_BINARY", "missing")
    with pytest.raises(FileNotFoundError, match="found no file at"):
        hook.initialize("standard", {})
    monkeypatch.setenv("KSCOPE_BINARY", "none")
    wheel = {}
    hook.initialize("standard", wheel)
    assert wheel == {}
    (tmp_path / "kscope").touch()
    monkeypatch.setenv("KSCOPE_BINARY", "kscope")
    hook.initialize("standard", wheel)
    assert wheel["shared_scripts"] == {str(tmp_path / "kscope"): "kscope"}
