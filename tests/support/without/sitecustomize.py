"""Python as it is where some packages are not installed, for it and for the processes that it starts.

PYTHONPATH=tests/support/without ARCHIVECOLOR_WITHOUT=av,bagit python -m pytest
"""

import os
import sys

for name in filter(None, os.environ.get("ARCHIVECOLOR_WITHOUT", "").split(",")):
    sys.modules[name] = None  # type: ignore[assignment]  # importing it is a ModuleNotFoundError
