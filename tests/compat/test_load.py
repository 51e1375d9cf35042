"""A file that imports secodadk is loaded as under ``python file.py``, whether or not that package is there."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from secoda_async import ConfigurationError, SecodaIntegration
from secoda_async.compat import stand_in as modules
from secoda_async.compat.bridge import BridgedIntegration
from secoda_async.load import load_integration, with_recording
from tests.compat.legacy import HEAD, loaded, written
from tests.integrations import MemorySink
from tests.peer import HERE, peer_python

pytestmark = pytest.mark.filterwarnings("ignore:Field name:UserWarning")


@pytest.mark.usefixtures("secodadk")
def test_a_class_of_secodadk_is_given_as_one_that_runs_it(tmp_path: Path) -> None:
    found = load_integration(f"{written(tmp_path, 'pass')}:Legacy")
    assert issubclass(found, BridgedIntegration)
    assert (found.__name__, found.__module__, found.inputs) == ("Legacy", "legacy", None)


def test_the_installed_package_comes_first(secodadk: str, tmp_path: Path) -> None:
    load_integration(f"{written(tmp_path, 'pass')}:Legacy")
    assert (sys.modules["secodadk"].__spec__.origin != "secoda_async") == (secodadk == "real")


@pytest.mark.usefixtures("stand_in")
def test_every_name_of_secodadk_is_there_without_it() -> None:
    told = subprocess.run([peer_python(), "-P", "-W", "ignore", HERE / "names.py"], capture_output=True, check=True)
    theirs = orjson.loads(told.stdout)
    with modules.standing_in():
        for name, names in theirs.items():
            ours = importlib.import_module(name)
            # What they import of httpx for their own types is no part of them.
            assert {*names} - {*vars(ours)} <= {"Any", "BasicAuth", "Optional", "Response"}, name
    assert theirs.keys() == modules.MODULES.keys()


@pytest.mark.usefixtures("stand_in")
def test_nothing_stands_in_for_secodadk_where_no_file_is_loaded() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("secodadk")


@pytest.mark.usefixtures("secodadk")
async def test_functions_may_import_more_of_it_when_they_are_called(tmp_path: Path) -> None:
    body = """
        from secodadk.strats.custom import JSONLIngestResourcesStrategy
        import secodadk.ingestion_models
        self.declare_resource(secodadk.ingestion_models.Resource(entity_type="table", databuilder_id="late"))
    """
    report = await (await loaded(tmp_path, body))(credentials={}).run(MemorySink())
    assert report.resources == {"table": 1}


@pytest.mark.usefixtures("secodadk")
def test_the_file_finds_itself_and_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("ANSWER = 42\n")
    path = tmp_path / "legacy.py"
    path.write_text(
        HEAD
        + "        pass\n"
        + "import helper, os\n"
        + f"assert __name__ == 'legacy' and os.path.samefile(__file__, {str(path)!r}) and helper.ANSWER == 42\n"
        + "assert os.path.samefile(sys.path[0], os.path.dirname(__file__))\n"
        + "if __name__ == '__main__':\n    Legacy(credentials={}).start()\n"
    )
    assert load_integration(f"{path}:Legacy").__name__ == "Legacy"


@pytest.mark.usefixtures("secodadk")
def test_a_file_that_starts_while_it_is_loaded_is_loaded_and_starts_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "legacy.py"
    path.write_text(HEAD + "        self.declare_resource(table(1))\nLegacy(credentials={}).start()\n")
    for _ in range(2):
        found: Any = load_integration(f"{path}:Legacy")
    assert capsys.readouterr().out == ""
    assert [record.message.partition(";")[0] for record in caplog.records] == [
        "Legacy.start() is left out while its file is loaded"
    ] * 2
    assert found.legacy.start.__module__.endswith(("secodadk.core", "compat.integration"))  # its own again


@pytest.mark.usefixtures("stand_in")
def test_a_file_that_asks_while_it_is_loaded_is_told_where_to_put_that(tmp_path: Path) -> None:
    path = tmp_path / "legacy.py"
    path.write_text(HEAD + "        pass\nLegacy(credentials={}).http_get('http://127.0.0.1:1')\n")
    with pytest.raises(ConfigurationError, match='if __name__ == "__main__":'):
        load_integration(f"{path}:Legacy")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Nothing", r"has no class Nothing; it has Async, Good"),
        ("Resource", r"Resource in .* is no subclass of SecodaIntegration"),
        ("Abstract", r"Abstract in .* has no extract\(\); write `def extract\(self\)` in it"),
        ("Async", r"Async in .*asynchronous extract\(\): derive it from secoda_async.SecodaIntegration"),
        ("SecodaIntegration", r"SecodaIntegration in .* has no extract\(\)"),
    ],
)
@pytest.mark.usefixtures("secodadk")
def test_a_class_that_cannot_be_run_is_told_of(tmp_path: Path, name: str, told: str) -> None:
    path = tmp_path / "legacy.py"
    path.write_text(
        "from secodadk import *\n"
        "class Abstract(SecodaIntegration):\n    pass\n"
        "class Good(SecodaIntegration):\n    def extract(self):\n        pass\n"
        "class Async(SecodaIntegration):\n    async def extract(self):\n        pass\n"
    )
    with pytest.raises(ConfigurationError, match=told):
        load_integration(f"{path}:{name}")


UNUSABLE = {
    "Needs": ("def __init__(self, credentials, workers): ...", "cannot be made from credentials alone (missing a"),
    "Positional": ("def __init__(self, given): ...", "give each other parameter a default"),
    "Fails": ("inputs = {'token': 'a token'}", "must be a dictionary of Input by name"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_class_that_cannot_be_made_is_told_of_before_it_runs(tmp_path: Path, name: str) -> None:
    line, told = UNUSABLE[name]
    (tmp_path / "unusable.py").write_text(
        f"from secoda_async import SecodaIntegration\nclass {name}(SecodaIntegration):\n    {line}\n"
        "    async def extract(self): ...\n"
    )
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        load_integration(f"{tmp_path / 'unusable.py'}:{name}")


@pytest.mark.usefixtures("secodadk")
def test_a_synchronous_class_that_cannot_be_made_is_told_of_before_it_runs(tmp_path: Path) -> None:
    path = written(tmp_path, "pass")
    path.write_text(f"{path.read_text()}\n    def __init__(self, credentials, workers): ...\n")
    with pytest.raises(ConfigurationError, match="cannot be made from credentials alone"):
        load_integration(f"{path}:Legacy")


@pytest.mark.usefixtures("secodadk")
def test_an_extract_of_which_nothing_would_run_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has a `yield`, so nothing of it would run"):
        load_integration(f"{written(tmp_path, 'yield 1')}:Legacy")


@pytest.mark.parametrize("place", [".", "..", ".x", "a..b", "a b"])
def test_a_name_that_no_module_has_is_told_of(place: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no module"):
        load_integration(f"{place}:X")


@pytest.mark.usefixtures("stand_in")
def test_a_file_that_needs_httpx_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    path = tmp_path / "legacy.py"
    path.write_text("import httpx\n")
    with pytest.raises(ModuleNotFoundError) as caught:
        load_integration(f"{path}:Legacy")
    assert "pip install httpx" in caught.value.__notes__[0]


@pytest.mark.usefixtures("secodadk")
def test_a_module_is_loaded_as_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "pass")
    monkeypatch.chdir(tmp_path)
    assert issubclass(load_integration("legacy:Legacy"), BridgedIntegration)


def test_an_asynchronous_class_is_given_as_it_is() -> None:
    found = load_integration("examples.cluvio:Cluvio")
    assert issubclass(found, SecodaIntegration)
    assert not issubclass(found, BridgedIntegration)


@pytest.mark.parametrize("arguments", [{"transport": None}, {"state_dir": None}])
def test_a_class_that_takes_no_settings_is_told_how_to_take_a_recording(arguments: dict[str, Any]) -> None:
    class Bare(SecodaIntegration):
        def __init__(self, *, credentials: dict[str, str]) -> None:
            super().__init__(credentials=credentials)

        async def extract(self) -> None: ...

    with pytest.raises(ConfigurationError, match="let its constructor take \\*\\*settings, and hand them"):
        with_recording(Bare, credentials={}, **arguments)
    assert isinstance(with_recording(Bare, credentials={}), Bare)
