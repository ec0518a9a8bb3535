"""Files that are written whole or not at all, locks between processes, and paths as a user writes them."""

import codecs
import contextlib
import difflib
import itertools
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

PathLike = str | os.PathLike[str]

_MOST_NAMES = 10_000  # of a folder that are compared with a missing file's
_SIMILAR = 0.8  # the least of difflib's ratio, 1 for equal names
_LONGEST_NAME = 300  # characters of a path in a message
_BEGINNING = 512  # bytes that tell UTF-16
_CHUNK = 1 << 20  # bytes


def user_path(path: PathLike) -> pathlib.Path:
    """A path as it was meant: `~` is the home folder, which no shell expands in `--name=~/x`."""
    path = pathlib.Path(path)
    try:
        return path.expanduser()
    except RuntimeError:  # pathlib's, where the system knows no home of that name
        return path


def name_in_text(name: str) -> str:
    r"""A file's name as UTF-8 can hold it, and a terminal shows it: bytes of it that are no text stand as \udcff."""
    return name.encode(errors="backslashreplace").decode()


def corrected_name(path: PathLike) -> str:
    """A message's end about a file that cannot be read: its folder may have one of almost the same name."""
    path = user_path(path)
    try:
        names = [entry.name for entry in itertools.islice(path.parent.iterdir(), _MOST_NAMES)]
        # Another number is another picture: 0007.jpg is no slip of the pen for 0001.jpg.
        names = [name for name in names if _digits(name) == _digits(path.name) and name != path.name]
        but_for_case = [name for name in names if name.casefold() == path.name.casefold()]
        closest = but_for_case or difflib.get_close_matches(path.name, names, n=1, cutoff=_SIMILAR)
    except (OSError, ValueError):  # ValueError: a zero byte in its folder's name
        return "check its name"
    return f"perhaps {str(path.with_name(closest[0]))[-_LONGEST_NAME:]} is meant" if closest else "check its name"


def _digits(name: str) -> str:
    return "".join(filter(str.isdigit, name))


def atomic_write(path: PathLike, data: bytes) -> None:
    """Writes a file under another name first, then renames it: a reader or a kill meets the old file or the new one.

    Args:
        path: the file; one that is there is replaced. Its folder is made if it is absent. What a link leads to is
            replaced instead of the link, and a device or a pipe is written to.
        data: what it will hold.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    path = user_path(path)
    if is_special(path):
        path.write_bytes(data)
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def is_special(path: PathLike) -> bool:
    """Whether a path is of a device or a pipe, such as /dev/stdout, which holds nothing and is never replaced."""
    path = user_path(path)
    return path.exists() and not path.is_file() and not path.is_dir()


def read_text(path: PathLike) -> str:
    """What a text says that any program may have written: in UTF-8, or UTF-16, as on Windows.

    Raises:
        OSError: it cannot be read.
        ValueError: it is in neither.
    """
    data = user_path(path).read_bytes()  # at once: it may be a pipe
    return data.decode(_encoding(data[:_BEGINNING]))


def text_encoding(path: PathLike) -> str:
    """The encoding of a text file: UTF-16, UTF-8, either without the byte-order mark, or else Windows-1252.

    Excel's "CSV" is in Windows-1252 in much of Europe. Five bytes have no meaning in it: open it with errors="replace".

    Raises:
        OSError: the file cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with user_path(path).open("rb") as file:
        beginning = file.read(_BEGINNING)
        encoding = _encoding(beginning)
        if encoding != "utf-8-sig" or beginning.startswith(codecs.BOM_UTF8):
            return encoding
        try:
            for chunk in itertools.chain([beginning], iter(lambda: file.read(_CHUNK), b"")):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return encoding


def _encoding(beginning: bytes) -> str:
    """UTF-16 by its byte-order mark, or by every second byte, which is zero in most languages; or else UTF-8."""
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = beginning[::2], beginning[1::2]
    for encoding, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if 2 * high.count(0) > len(high) and not low.count(0):
            return encoding
    return "utf-8-sig"


def read_json(path: PathLike) -> Any:
    """What a JSON file says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or nested without end.
    """
    try:
        return json.loads(user_path(path).read_bytes())
    except RecursionError:
        raise ValueError("nested too deep") from None


@contextlib.contextmanager
def locked(path: PathLike) -> Iterator[bool]:
    """Locks a file, which is made if it is absent; a process that ends in any way gives its locks back.

    On Windows, and on network file systems that know no locks, every process has the lock.

    Yields:
        Whether this process has the lock: False if another one has.

    Raises:
        OSError: the file cannot be made.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        yield True
        return
    with user_path(path).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True
