"""Prints the oldest version that `pyproject.toml` allows of each runtime dependency, as pip reads it."""

import re
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        print(re.sub(r">=", "==", requirement))
