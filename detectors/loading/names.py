"""Names in a pickle that a checkpoint may have. None is imported; the rest is refused."""

from __future__ import annotations

import sys
from typing import Any

# Of Python's own library and of builtins; the rest of it does things. Paths have been in two modules.
_PLAIN = {
    "argparse": {"Namespace"},
    "builtins": {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object"}
    | {"range", "set", "slice", "str", "tuple", "Ellipsis", "NotImplemented", "long", "unicode", "xrange"},
    "_codecs": {"encode"},
    "collections": {"Counter", "OrderedDict", "UserDict", "defaultdict", "deque"},
    "copyreg": {"_reconstructor", "__newobj__"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "functools": {"partial"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "types": {"SimpleNamespace"},
    "typing": {"Any"},
    "uuid": {"UUID"},
}
_OLD = {"__builtin__": "builtins", "copy_reg": "copyreg", "pathlib._local": "pathlib", "numpy.core": "numpy._core"}
# Calls that torch and numpy write for arrays, their types and random states
_CALLS = {
    *(f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "tensor_v3", "qtensor", "sparse_tensor")),
    *(f"torch._utils._rebuild_{what}" for what in ("parameter", "parameter_with_state", "meta_tensor_no_storage")),
    "torch._tensor._rebuild_from_type_v2",
    "torch.storage._load_from_bytes",
    "torch.serialization._get_layout",
    "torch.Size",
    "torch.device",
    "numpy.dtype",
    *(f"numpy._core.multiarray.{what}" for what in ("_reconstruct", "scalar")),
    "numpy._core.numeric._frombuffer",
}


def name_of(module: str, attribute: str) -> str:
    """The name as Python 3 and NumPy 2 write it."""
    for old, new in _OLD.items():
        if module == old or module.startswith(old + "."):
            module = new + module[len(old) :]
    return f"{module}.{attribute}"


def harmless(name: str) -> bool:
    """Whether a name may stand in a checkpoint: no part of Python's own library but a few types.

    >>> harmless("grokking.config.TrainConfig"), harmless("pathlib.PosixPath"), harmless("os.system")
    (True, True, False)
    """
    module, _, attribute = name.rpartition(".")
    if module in _PLAIN:
        return attribute in _PLAIN[module]
    return module.partition(".")[0] not in sys.stdlib_module_names and bool(module)


def callable_as_data(name: str, args: tuple[Any, ...]) -> bool:
    """Whether a call of it says no more than a value: arrays, plain types, and members of an Enum, `Colour("red")`."""
    if name in _CALLS or name.rpartition(".")[0] in _PLAIN:
        return True
    if name.startswith("numpy.random.") and name.rpartition(".")[2].startswith("__"):  # states of its generators
        return True
    scalar = len(args) == 1 and isinstance(args[0], str | int | float)
    return scalar and name.rpartition(".")[2][:1].isupper() and name.count(".") > 0
