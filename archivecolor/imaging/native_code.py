"""Machine code that Numba has compiled once, kept in a file and loaded without Numba.

Importing Numba, SciPy and what they bring, and linking code from Numba's own cache, takes 1.3 s of each start. LLVM
alone loads the same code in 0.05 s. The code is a file beside the package or in the user's cache. Its name says which
source, which versions and which processor it was made for; its content begins with its hash.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import logging
import os
import threading
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

from archivecolor import files

if TYPE_CHECKING:
    from llvmlite.binding import ExecutionEngine, TargetMachine

_log = logging.getLogger(__name__)
_ENVIRONMENT = "NUMBA_CACHE_DIR"
"""Numba's own variable for another folder of compiled code."""
_HASH_BYTES = 32
_lock = threading.Lock()
_engines: list[ExecutionEngine] = []
"""The owners of the loaded code: it is freed with them."""
_free_array = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda array: None)
"""What Numba calls to free an array of its own. The loops have none, but their code names it."""


@cache
def load(module: str, entry: str) -> int:
    """The address of a function that returns 0, or another number after an error.

    Its first two arguments are pointers: to its result, and to a pointer for the error. The rest are those of the
    entry.

    Args:
        module: the module with the loops and `ENTRIES`; it is imported only where nothing is compiled yet.
        entry: a key of its `ENTRIES`.
    """
    with _lock:
        path = _path(module, entry)
        for folder in folders():
            if content := _read(folder / path):
                return _linked(content)
        _log.warning("compiling the loop over pixels once, about 20 s; later runs begin at once")
        content = _compiled(module, entry)
        _keep(path, content)
        return _linked(content)


def folders() -> list[Path]:
    """Where compiled code may lie: beside the package, else in the user's cache."""
    if os.environ.get(_ENVIRONMENT):
        return [Path(os.environ[_ENVIRONMENT])]
    beside = Path(__file__).with_name("__pycache__")
    try:
        return [beside, files.user_cache()]
    except RuntimeError:  # there is no home
        return [beside]


def _path(module: str, entry: str) -> str:
    """A file name for this source, these compilers and this processor."""
    import llvmlite.binding as llvm

    found = util.find_spec(module)
    source = Path(str(found.origin)).read_bytes() if found else b""
    versions = [metadata.version(name) for name in ("numba", "llvmlite", "numpy")]
    machine = [llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    own = Path(__file__).read_bytes()
    key = hashlib.sha256(b"\0".join([source, own, *(text.encode() for text in (*versions, *machine))]))
    return f"{entry}-{key.hexdigest()[:24]}.native"


def _read(path: Path) -> bytes:
    """The symbol and the object of a file, b"" where it is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    body = content[_HASH_BYTES:]
    return body if hashlib.sha256(body).digest() == content[:_HASH_BYTES] else b""


def _keep(path: str, body: bytes) -> None:
    """Writes the code into the first folder that takes it. Without one, each process compiles its own."""
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with files.atomic_write(folder / path, durable=False) as part:  # the hash shows what a power cut left
                part.write_bytes(hashlib.sha256(body).digest() + body)
            return
        except OSError:
            continue


def _compiled(module: str, entry: str) -> bytes:
    """The symbol of an entry, a zero byte, and the object that defines it. Of all that Numba puts into a module, the
    object has only the entry and what it calls, so it needs no symbol from elsewhere."""
    import llvmlite.binding as llvm

    function, arguments = importlib.import_module(module).ENTRIES[entry]
    function.compile(arguments)
    symbol = function.overloads[arguments].fndesc.llvm_func_name
    parsed = llvm.parse_assembly(function.inspect_llvm(arguments))
    for each in parsed.functions:
        if each.name.startswith(("_ZN7cpython", "cfunc.")):  # wrappers, which need the interpreter
            each.linkage = "available_externally"
    return symbol.encode() + b"\0" + _target_machine().emit_object(parsed)


@cache
def _target_machine() -> TargetMachine:
    """This processor, with everything that it can do."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="default",
        codemodel="jitdefault",
    )


def _linked(content: bytes) -> int:
    """The address of the loaded code."""
    import llvmlite.binding as llvm

    symbol, _, code = content.partition(b"\0")
    llvm.add_symbol("NRT_MemInfo_call_dtor", ctypes.cast(_free_array, ctypes.c_void_p).value)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(symbol.decode()))
