"""The example notebook runs in a kernel, from its first cell to its last, and is committed without outputs."""

import shutil
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = EXAMPLES / "notebook.ipynb"


def shown(cell: nbformat.NotebookNode) -> str:
    """What a cell printed, and the value of its last line."""
    return "".join(output.get("text") or output["data"]["text/plain"] for output in cell.outputs)


def test_the_notebook_runs_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # Beside copies of what it reads, so that what it leaves is seen.
    here = tmp_path / "examples"
    here.mkdir()
    for name in ("graphql_catalog.py", "notebook.ipynb"):
        shutil.copy(EXAMPLES / name, here)
    recordings = tmp_path / "tests" / "recordings"
    recordings.mkdir(parents=True)
    shutil.copy(EXAMPLES.parent / "tests" / "recordings" / "graphql.journal", recordings)

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": here}}).execute()

    said = [shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert said[1] == "('complete', {'column': 21, 'database': 1, 'schema': 3, 'table': 6}, 5)"
    assert "['raw.events.user.address.city', 'raw.events.user.address.zip']" in said[2]
    assert said[3] == "POST 127.0.0.1:8591 /graphql {200: 5}\n"
    assert said[4] == "'complete'"
    assert "is not in the recording" in said[5]
    assert said[5].endswith("('failed', 'nothing', True)")
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == {"graphql_catalog.py", "notebook.ipynb"}


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_its_metadata_tells_no_environment() -> None:
    metadata = nbformat.read(NOTEBOOK, as_version=4).metadata
    assert metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
