"""What stands for an object that is no tensor: its name, and nothing else.

Training scripts pickle their arguments, paths, dates and helpers beside the tensors. None of that is needed, and all of
it would have to be imported to be rebuilt. So each becomes a `StandIn`, a text with a type of its own: nothing is
imported, called or looked up for it. That makes every name harmless, also one that is on no list. The lists below add a
warning: whoever names `os.system` in a weight file means harm, and the user should know.
"""

import dataclasses
import re

from emotion_gcn_jax.errors import shown

_LONGEST_NAME = 256  # characters, at most a kilobyte; a pickle of a million instructions has a third as many names

_HARMLESS_BUILTINS = frozenset(
    {
        *("bytearray", "bytes", "complex", "float", "frozenset", "int", "bool", "str", "list", "tuple", "dict", "set"),
        *("object", "range", "slice", "Ellipsis", "NotImplemented", "NoneType"),
        *("long", "unicode", "xrange"),  # Python 2's, which the pickle protocols up to 2 still write
    }
)

_DANGEROUS_PACKAGES = frozenset(
    {
        # they run programs or code,
        *("os", "posix", "nt", "subprocess", "pty", "commands", "popen2", "runpy", "code", "codeop", "timeit", "trace"),
        *("pdb", "bdb", "profile", "cProfile", "doctest", "distutils", "setuptools", "pip", "ensurepip", "venv"),
        *("multiprocessing", "_posixsubprocess", "asyncio", "platform", "webbrowser", "antigravity"),
        # import, look up or build what they are given,
        *("importlib", "imp", "pkgutil", "zipimport", "sys", "inspect", "operator", "_operator", "ctypes"),
        *("_ctypes", "cffi", "gc", "atexit", "signal", "site", "idlelib", "lib2to3", "pydoc", "unittest"),
        # unpickle what they are given,
        *("pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"),
        # or touch files and the network
        *("shutil", "tempfile", "fileinput", "linecache", "tarfile", "zipfile", "mmap", "sqlite3"),
        *("socket", "_socket", "socketserver", "ssl", "http", "urllib", "urllib2", "httplib", "requests", "ftplib"),
        *("smtplib", "telnetlib", "poplib", "imaplib", "xmlrpc", "aiohttp", "httpx"),
    }
)
_DANGEROUS_ANYWHERE = frozenset({"os", "_os", "posix", "nt", "sys", "_sys", "subprocess", "builtins", "importlib"})
_DANGEROUS_NAMES = re.compile(
    r"(torch|numpy)(\.\w+)* (load|_load_from_bytes|loads|fromfile|memmap|loadtxt|genfromtxt|runstring|exec_command)"
    r"|torch\.(hub|jit|package|utils\.(bottleneck|cpp_extension|model_zoo)|distributed\.rpc)\b.*"
    r"|types (Code|Function|Lambda|Method|Module)Type|_?io (open|open_code|FileIO)"
    r"|numpy\.(distutils|f2py|testing)\b.*"
)


@dataclasses.dataclass(frozen=True, slots=True)
class StandIn:
    """An object of a file that was not rebuilt, or its class or function.

    Attributes:
        name: where it claims to come from, as "module.name"; at most 256 characters, any that a file may hold.
    """

    name: str


def stand_in(module: str, name: str) -> StandIn | None:
    """What stands for a global name of a pickle; None where the name means harm or makes no sense."""
    if len(module) + len(name) >= _LONGEST_NAME or is_dangerous(module, name):
        return None
    return StandIn(f"{module}.{name}")


def is_dangerous(module: str, name: str) -> bool:
    """Whether no honest file of tensors has this name, because calling it could run code or read anything."""
    package, *_ = parts = module.split(".")
    path = name.split(".")
    # Special attributes lead from a harmless object to everything that Python can reach.
    if any(part.startswith("__") and part.endswith("__") for part in path):
        return True
    if package in ("builtins", "__builtin__"):
        return name not in _HARMLESS_BUILTINS
    return (
        package in _DANGEROUS_PACKAGES
        or not _DANGEROUS_ANYWHERE.isdisjoint([*parts, *path])
        or _DANGEROUS_NAMES.fullmatch(f"{module} {name}") is not None
    )


def described(stand_in: StandIn) -> str:
    """For a message."""
    return f"an object of {shown(stand_in.name)}"
