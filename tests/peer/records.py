"""Answers, for each record described on a line of standard input, with what secodadk makes of it.

``{"model": NAME, "fields": {...}}`` gives ``{"line": what secodadk writes}`` or ``{"errors": [[type, place], ...]}``;
``{"schema": NAME}`` gives the model's fields. ``{"$datetime": ISO}`` and ``{"$model": NAME, "fields": {...}}`` stand
for values that JSON has no form for.
"""

import contextlib
import io
import json
import sys
from datetime import datetime

import pydantic
import secodadk
from secodadk.strats.default import DefaultIngestResourcesStrategy


def revive(value):
    if not isinstance(value, dict):
        return value
    if "$datetime" in value:
        return datetime.fromisoformat(value["$datetime"])
    if "$model" in value:
        return build(value["$model"], value["fields"])
    return {name: revive(part) for name, part in value.items()}


def build(model, fields):
    return getattr(secodadk, model)(**{name: revive(value) for name, value in fields.items()})


def write(model, fields):
    try:
        record = build(model, fields)
    except pydantic.ValidationError as exc:
        return {"errors": [[error["type"], list(error["loc"])] for error in exc.errors()]}
    if model in ("Resource", "DeclaredLineage"):
        strategy = DefaultIngestResourcesStrategy()
        declare = strategy.declare_resource if model == "Resource" else strategy.declare_lineage
        with contextlib.redirect_stdout(io.StringIO()) as written:
            declare(record)
        return {"line": written.getvalue()}
    return {"line": json.dumps(record.model_dump(mode="json")) + "\n"}


def schema(model):
    cls = getattr(secodadk, model)
    defaults = {name: [field.is_required(), repr(field.default)] for name, field in cls.model_fields.items()}
    return {"json": cls.model_json_schema(), "defaults": defaults}


for question in sys.stdin:
    asked = json.loads(question)
    answer = schema(asked["schema"]) if "schema" in asked else write(asked["model"], asked["fields"])
    print(json.dumps(answer), flush=True)
