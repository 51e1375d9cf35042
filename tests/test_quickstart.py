"""docs/quickstart.md, typed as it stands there."""

import os
import socket
from pathlib import Path

import anyio

from tests.command_line import COMMAND
from tests.markdown import ROOT, blocks


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def test_every_block_works_one_after_the_other(tmp_path: Path) -> None:
    port = free_port()  # in place of 8765, where somebody may be
    typed = "\n".join(block.code for block in blocks(ROOT / "docs" / "quickstart.md", "sh")).replace("8765", str(port))
    done = await anyio.run_process(
        ["bash", "-em", "-c", typed],
        cwd=tmp_path,
        check=False,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "SECODA"))},
            "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}",
        },
    )
    out, errors = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, errors
    assert "no rule is broken by 19 resources and 3 lineages" in out
    assert "4 passed" in out
    assert "sync: 19 resources, 3 lineage; 19 added, 0 changed, 0 removed" in errors
    assert "| api.example.com | GET | /databases | bearer |" in out
    assert "10 column, 2 database, 2 schema, 5 table, 3 lineage" in out  # of `report last`
