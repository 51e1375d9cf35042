"""Runs a `FakeWorkspace` as a process of its own: ``python -m secoda_async.testing --api-key-env SECODA_API_KEY``.

Prints one line of JSON, ``{"url": …, "integration_id": …}``, once it serves, and ends on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import anyio
import orjson

from secoda_async.testing.workspace import FakeWorkspace


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m secoda_async.testing", description="A Secoda workspace for tests.")
    parser.add_argument("--api-key-env", required=True, metavar="NAME", help="environment variable with the API key")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--name", default="custom", help="name of the integration that is created")
    parser.add_argument("--no-staling", action="store_true", help="keep resources that a sync leaves out")
    arguments = parser.parse_args()
    if not os.environ.get(arguments.api_key_env):
        parser.error(f"the environment variable {arguments.api_key_env} is not set")
    return arguments


async def _serve(arguments: argparse.Namespace) -> None:
    api_key = os.environ[arguments.api_key_env]
    # Before the line is printed: whoever has read it may stop this process at once.
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with FakeWorkspace(api_key=api_key, staling=not arguments.no_staling, port=arguments.port) as workspace:
            ready = {"url": workspace.url, "integration_id": workspace.create_integration(arguments.name)}
            sys.stdout.write(f"{orjson.dumps(ready).decode()}\n")
            sys.stdout.flush()
            async for _ in signals:
                return


if __name__ == "__main__":
    anyio.run(_serve, _arguments())
