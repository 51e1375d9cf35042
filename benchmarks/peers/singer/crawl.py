"""Singer SDK: a tap of three streams, each the child of the one before, with the writer of msgspec.

It asks for one thing after another, as the SDK does. What it writes are Singer's RECORD messages; they are taken out of
these, into the lines that everybody writes, after the time is taken.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from typing import Any

import orjson
import requests
from mapping import Mapping
from measure import Plan, measure
from models import DeclaredLineage, InternalResource, Resource
from requests.adapters import HTTPAdapter
from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.pagination import BaseAPIPaginator, JSONPathPaginator, SinglePagePaginator

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)
NUMBER = th.PropertiesList(th.Property("id", th.IntegerType)).to_dict()


class TablesStream(RESTStream[Any]):
    """What the three have in common."""

    primary_keys = ()
    state_partitioning_keys: list[str] = []  # noqa: RUF012 # as the SDK declares it

    @property
    def url_base(self) -> str:
        return str(self.config["base_url"])

    def get_new_paginator(self) -> BaseAPIPaginator[Any]:
        return SinglePagePaginator()


class Databases(TablesStream):
    name = "databases"
    path = "/databases"
    schema = {"type": "object", "additionalProperties": True, "properties": {}}  # noqa: RUF012 # as the SDK declares it

    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        yield from orjson.loads(response.content)["databases"]

    def get_child_context(self, record: dict[str, Any], context: Any) -> dict[str, Any]:
        return {"database": record["id"]}

    def _write_record_message(self, record: dict[str, Any]) -> None:
        super()._write_record_message(MAPPING.of_database(record).model_dump(mode="json"))


class Listing(TablesStream):
    """Which tables there are is no record: the stream is not selected."""

    name = "listing"
    path = "/databases/{database}/tables"
    parent_stream_type = Databases
    schema = NUMBER
    selected_by_default = False

    def get_new_paginator(self) -> BaseAPIPaginator[Any]:
        return JSONPathPaginator("$.next_page")

    def get_url_params(self, context: Any, next_page_token: int | None) -> dict[str, Any]:
        return {"page": next_page_token or 1}

    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        yield from orjson.loads(response.content)["tables"]

    def get_child_context(self, record: dict[str, Any], context: Any) -> dict[str, Any]:
        return {"table": record["id"]}


class Details(TablesStream):
    name = "details"
    path = "/tables/{table}"
    parent_stream_type = Listing
    schema = {"type": "object", "additionalProperties": True, "properties": {}}  # noqa: RUF012 # as the SDK declares it

    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        resources, lineage = MAPPING.of_table(orjson.loads(response.content))
        for record in (*resources, *lineage):
            yield record.model_dump(mode="json")


class TapTables(Tap):
    name = "tap-tables"
    config_jsonschema = th.PropertiesList(th.Property("base_url", th.StringType, required=True)).to_dict()
    message_writer_class = MsgSpecWriter

    def discover_streams(self) -> list[TablesStream]:
        session = requests.Session()
        session.mount("http://", HTTPAdapter(pool_maxsize=1))
        streams = [Databases(self), Listing(self), Details(self)]
        for stream in streams:
            stream._requests_session = session  # one connection for the three
        return streams


def main(plan: Plan) -> None:
    logging.disable(logging.WARNING)
    with (plan.folder / "messages.jsonl").open("w") as messages, contextlib.redirect_stdout(messages):
        TapTables(config={"base_url": plan.url}).sync_all()


def split(plan: Plan) -> None:
    """The records of the messages, into the files that everybody writes."""
    with (
        (plan.folder / "messages.jsonl").open("rb") as messages,
        plan.resources.open("wb") as resources,
        plan.lineage.open("wb") as lineage,
    ):
        for message in map(orjson.loads, messages):
            if message["type"] == "RECORD":
                file = lineage if "from_identifier" in message["record"] else resources
                file.write(orjson.dumps(message["record"], option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    measure(main, "singer-sdk", "requests", "msgspec", after=split)
