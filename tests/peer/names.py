"""Prints the public names of every module of the real secodadk, as one JSON object."""

import importlib
import json
import types

MODULES = ["", ".core", ".ingestion_models", ".strats", ".strats.core", ".strats.default", ".strats.custom"]

print(
    json.dumps(
        {
            f"secodadk{name}": sorted(
                public
                for public, value in vars(importlib.import_module(f"secodadk{name}")).items()
                if not public.startswith("_") and not isinstance(value, types.ModuleType)
            )
            for name in MODULES
        }
    )
)
