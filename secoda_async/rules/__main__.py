"""Prints the documentation of the rules: ``python -m secoda_async.rules > docs/rules.md``."""

import sys

from secoda_async.rules.document import document

sys.stdout.write(document())
