"""A module that the script imports -> the same module, patched as soon as it has been executed.

Nothing is imported that the script does not import, and nothing twice: a finder in front of the
others asks them for the module, and changes what they return only where we have something to do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Patch = Callable[[ModuleType], None]

DUMMY = b"class DummyWandb"
_INSTALLED = ("site-packages", "dist-packages")
_MOST_BYTES = 1 << 20


class Finder(MetaPathFinder):
    """Patches ``wandb`` and modules that define a DummyWandb; stands in where W&B is missing."""

    def __init__(self, *, wandb: Patch, dummy: Patch, stand_in: Callable[[str], Loader]) -> None:
        self._wandb = wandb
        self._dummy = dummy
        self._stand_in = stand_in

    def install(self) -> None:
        """Look at every import from now on."""
        sys.meta_path.insert(0, self)
        present = sys.modules.get("wandb")
        if present is not None:  # imported by a sitecustomize
            self._wandb(present)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders have for a module, made to patch it."""
        top = fullname.partition(".")[0]
        if top in sys.stdlib_module_names:
            return None
        spec = self._others(fullname, path, target)
        if fullname == "wandb":
            # a folder "wandb" holds offline runs: no package, for all that it can be imported
            if spec is None or spec.origin is None:
                return ModuleSpec(fullname, self._stand_in(fullname), is_package=True)
            return _patching(spec, self._wandb)
        if top == "wandb" and spec is None and _stands_in(sys.modules.get("wandb")):
            return ModuleSpec(fullname, self._stand_in(fullname), is_package=True)
        return _patching(spec, self._dummy) if spec is not None and _has_dummy(spec) else spec

    def _others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                return spec
        return None


def _stands_in(module: ModuleType | None) -> bool:
    return module is not None and hasattr(type(module), "stands_in")


def _has_dummy(spec: ModuleSpec) -> bool:
    """Whether a module of the script's own project defines a stand-in for a W&B run."""
    origin = spec.origin or ""
    if not origin.endswith(".py") or any(folder in origin for folder in _INSTALLED):
        return False
    try:
        with open(origin, "rb") as file:
            return DUMMY in file.read(_MOST_BYTES)
    except OSError:
        return False


def _patching(spec: ModuleSpec, patch: Patch) -> ModuleSpec:
    """Make the loader of *spec* call *patch* once it has executed the module."""
    loader = spec.loader
    execute = getattr(loader, "exec_module", None)
    if loader is None or execute is None:
        return spec

    def exec_module(module: ModuleType) -> None:
        vars(loader).pop("exec_module", None)
        execute(module)
        patch(module)

    # on this one loader, which is this one module's: its type and all else stay as they are
    vars(loader)["exec_module"] = exec_module
    return spec
