"""The messages of Microsoft's protocol FunctionRpc, which ship with one of its packages among its tests."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import distribution
from types import ModuleType, SimpleNamespace

PACKAGE = "azure-functions-runtime-v1"
NAME = "function_rpc"
MODULES = ("FunctionRpc_pb2", "shared.NullableTypes_pb2")


def loaded() -> SimpleNamespace:
    """All messages by name.

    Their package is not imported as it is: it needs gRPC, and is called `tests`, which an app may have one of, too.
    """
    package = ModuleType(NAME)
    package.__path__ = [str(distribution(PACKAGE).locate_file("tests/protos"))]
    sys.modules[NAME] = package
    found = SimpleNamespace()
    for module in MODULES:
        vars(found).update(vars(importlib.import_module(f"{NAME}.{module}")))
    return found
