"""Tables hold a row per line: what is in it, under its own number."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from secoda_async import DatasetError, Resource
from secoda_async.analysis.engine import Connection, analyse
from secoda_async.analysis.tables import load_lineage, load_resources
from secoda_async.dataset import Dataset
from secoda_async.pipeline.encode import encode
from tests.datasets import edge, external, internal, query, resource, write_bytes, write_dataset, write_lines


async def load(dataset: Dataset, work: Path, columns: str = "*") -> tuple[list[Any], list[Any]]:
    def judge(connection: Connection) -> tuple[list[Any], list[Any]]:
        load_resources(connection, dataset, "r")
        load_lineage(connection, dataset, "l")
        resources = connection.execute(f"select {columns} from r order by line").fetchall()
        lineage = connection.execute("select * exclude (digest, sql_digest), sql_digest is null from l order by line")
        return resources, lineage.fetchall()

    return await analyse(work, dataset, judge)


async def test_empty_files_are_empty_tables(tmp_path: Path) -> None:
    assert await load(write_dataset(tmp_path), tmp_path) == ([], [])


async def test_a_row_per_line_and_its_own_number(tmp_path: Path) -> None:
    resources = [resource("table", "a"), resource("column", "b", "a", group="g", schema="", extra={"x": [1]})]
    lineage = [
        edge(internal("a"), external(cluster="c", database="d", schema="s")),
        edge(query("select 1"), internal("b")),
    ]
    columns = "line, type, id, parent, has_schema, has_database, has_group, has_product"
    found = await load(write_dataset(tmp_path, resources, lineage), tmp_path, columns)
    assert found == (
        [(1, "table", "a", None, *[False] * 4), (2, "column", "b", "a", False, False, True, False)],
        [
            (1, "internal_resource", "a", False, "external_table", None, True, True),
            (2, "tables_from_query", None, False, "internal_resource", "b", False, False),
        ],
    )


async def test_lines_keep_their_numbers_though_several_threads_read(tmp_path: Path) -> None:
    count = 600_000  # several of the reader's buffers
    lines = (
        b'{"entity_type":"table","databuilder_id":"%d","description":"%b"}' % (n, b"x" * 250) for n in range(count)
    )
    dataset = write_lines(tmp_path, lines)

    def judge(connection: Connection) -> object:
        load_resources(connection, dataset, "r")
        return connection.execute("select count(*), count(*) filter (where id = (line - 1)::varchar) from r").fetchall()

    assert await analyse(tmp_path, dataset, judge) == [(count, count)]


async def test_the_digest_is_of_values(tmp_path: Path) -> None:
    full = orjson.loads(encode(Resource(entity_type="table", databuilder_id="a")))
    same = [
        {"entity_type": "table", "databuilder_id": "a"},
        {"databuilder_id": "another id", "entity_type": "table"},
        full,
        dict(reversed(full.items())),
        {**full, "unknown": 1},
    ]
    different = [{**full, name: "x"} for name in full if name not in {"databuilder_id", "owners", "entity_type"}]
    different += [{**full, "owners": owners} for owners in ([], ["a"], ["a", "b"], ["ab"], ["b", "a"])]
    different += [{**full, "entity_type": "x"}, {**full, "title": None, "description": ""}]
    resources, _ = await load(write_dataset(tmp_path, [*same, *different]), tmp_path, "digest")
    assert len(set(resources[: len(same)])) == 1
    assert len(set(resources)) == 1 + len(different)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"entity_type":"table"', "not JSON: "),
        (b"[1]", "a JSON object is expected, not list"),
        (b'{"entity_type":"t","databuilder_id":"a","databuilder_id":"b"}', "the key 'databuilder_id' comes twice"),
        (b'{"entity_type":"t\xff","databuilder_id":"a"}', "byte 18 of the line is no UTF-8"),
        (b'{"entity_type":"t\\ud800","databuilder_id":"a"}', "not JSON: "),
        (b'{"entity_type":"t","databuilder_id":"a","owners":"me"}', "owners: Input should be a valid list"),
    ],
)
async def test_a_line_that_is_no_record_is_an_error_that_names_file_and_line(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    good = b'{"entity_type":"table","databuilder_id":"a"}'
    dataset = write_lines(tmp_path, [good, good, line, good])
    with pytest.raises(DatasetError) as caught:
        await load(dataset, tmp_path)
    assert str(caught.value).startswith(f"{dataset.resources}, line 3: {reason}")


async def test_a_file_compressed_by_mistake_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 1: the file is compressed with gzip; unpack it"):
        await load(write_bytes(tmp_path, b"\x1f\x8b\x08\x00\x00\x00"), tmp_path)


@pytest.mark.parametrize("name", ['it\'s "quoted"', "hive=1", "a[b]*", "$path", "'); drop table r; --", "x.gz"])
async def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    dataset = write_dataset(tmp_path / name, [resource("table", "a")])
    assert await load(dataset, tmp_path, "line, id") == ([(1, "a")], [])


@pytest.mark.parametrize(("count", "size", "text"), [(400, 100_000, "x"), (100, 2**20, "\n"), (12, 10 * 2**20, "é")])
async def test_long_texts_are_read_in_bounded_memory(tmp_path: Path, count: int, size: int, text: str) -> None:
    lines = (
        orjson.dumps(resource("table", str(n), definition=text * (size // len(orjson.dumps(text)[1:-1]))))
        for n in range(count)
    )
    resources, _ = await load(write_lines(tmp_path, lines), tmp_path, "line, id")
    assert resources == [(n + 1, str(n)) for n in range(count)]


async def test_ids_of_a_megabyte_stay_different(tmp_path: Path) -> None:
    ids = ["x" * 2**20 + str(n % 20) for n in range(40)]
    dataset = write_dataset(
        tmp_path, [resource("table", id_, id_) for id_ in ids], [edge(internal(ids[0]), internal(ids[1]))]
    )
    resources, lineage = await load(dataset, tmp_path, "id, parent")
    assert len(set(resources)) == 20
    assert all(id_ == parent and len(id_) < 1000 for id_, parent in resources)
    assert (lineage[0][2], lineage[0][5]) == (resources[0][0], resources[1][0])


async def test_a_line_over_32_mib_is_an_error_that_names_it(tmp_path: Path) -> None:
    dataset = write_lines(tmp_path, [b"{}", b" " * (32 * 2**20 + 1), b"{}"])
    with pytest.raises(DatasetError, match=r"resources\.jsonl, line 2: the line is longer than 32 MiB"):
        await load(dataset, tmp_path)
