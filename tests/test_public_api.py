"""What is public is what `__all__` says, and nothing leaks beside it."""

import re
import types
from pathlib import Path

import secoda_async
import secoda_async.testing


def test_all_is_complete_and_free_of_modules() -> None:
    for package in (secoda_async, secoda_async.testing):
        names = package.__all__
        assert len(set(names)) == len(names)
        public = {
            name
            for name, value in vars(package).items()
            if not name.startswith("_") and not isinstance(value, types.ModuleType)
        }
        assert public == {name for name in names if not name.startswith("_")}


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    for package in (secoda_async, secoda_async.testing):
        for name in package.__all__:
            value = getattr(package, name)
            if isinstance(value, type):
                assert value.__doc__, name
                assert value.__doc__ != getattr(value.__bases__[0], "__doc__", None), name


def test_every_class_that_the_documentation_names_is_public() -> None:
    root = Path(__file__).parent.parent
    text = "".join(page.read_text() for page in (root / "README.md", *(root / "docs").glob("*.md")))
    classes = set(re.findall(r"`([A-Z]+[a-z]\w*[A-Z]\w*)[`(]", text))
    assert len(classes) > 20
    assert classes <= {*secoda_async.__all__, *secoda_async.testing.__all__}
