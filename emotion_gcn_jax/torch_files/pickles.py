"""A pickle interpreter that builds containers, numbers and text, and runs nothing.

A pickle is a program for a stack machine, some of whose instructions import and call whatever they name. Here the
standard library's pickletools splits it into instructions (and runs none), and those in `_ACTIONS` are carried out.
A name such as `torch FloatStorage` is looked up in a table of this project's own; nothing is imported, no attribute is
followed, no method of a rebuilt object is called. Every other name and every other instruction is refused.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

MAX_INSTRUCTIONS = 1_000_000
"""An instruction may cost a hundred bytes and two microseconds; a DenseNet-121 with its optimiser has 60,000."""

_NEWEST_PROTOCOL = 5
_MAX_ARGUMENTS = 16  # of a call: thousands, handed over again and again, would be copied each time
_LARGEST_KEY = 2**63  # larger ones could be chosen to have one hash, which makes a dict quadratic


class Refusal(Exception):
    """Why a file is not read: completes the sentence that begins with the file's name."""


class Name(NamedTuple):
    """What stands for a global name of a pickle.

    Attributes:
        name: as the pickle has it, "module name".
        rebuild: what calling it does: one of this project's functions, or None where it cannot be called.
        value: what else is to be known of it.
    """

    name: str
    rebuild: Callable[..., Any] | None = None
    value: Any = None


class Vocabulary(Protocol):
    """What the names in a pickle mean."""

    @property
    def names(self) -> Mapping[str, Name]:
        """The known ones, by "module name"."""

    def persistent(self, reference: Any) -> Any:
        """Returns what is stored outside the pickle under a reference."""

    def set_state(self, rebuilt: Any, state: Any) -> None:
        """Gives a rebuilt object that is no dict its state."""


def interpret(stream: io.BytesIO, vocabulary: Vocabulary) -> Any:
    """Rebuilds the object of the pickle at the stream's position, and leaves the stream after it.

    Args:
        stream: in memory, so that a length which the pickle merely claims allocates nothing.
        vocabulary: the names that it may use.

    Raises:
        Refusal: it uses another name or instruction, is damaged, or is too long.
    """
    machine = _Machine(vocabulary)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count == MAX_INSTRUCTIONS:
                raise Refusal(f"has more than {MAX_INSTRUCTIONS:,} pickle instructions, which no weight file needs")
            if opcode.name == "STOP":
                break
            action = _ACTIONS.get(opcode.name)
            if action is None:
                raise Refusal(f"is no PyTorch file, or uses {opcode.name}, a pickle instruction that no tensor needs")
            action(machine, argument)
        return machine.pop()
    except (ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
        raise Refusal(f"is no PyTorch file, or a damaged one ({shown(str(error))})") from None


def shown(text: str) -> str:
    """What a file says of itself, fit for a message: short, printable and on one line."""
    cut = text if len(text) <= 80 else f"{text[:80]}..."
    return cut if cut.isprintable() else ascii(cut)


class _Machine:
    """The stack, the marks on it, and the memo."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("its pickle takes more from the stack than it put there")
        return self.stack[-1]

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def pop_or_unmark(self, _: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_tuple(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def append(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not list:
            raise ValueError("its pickle appends to what is no list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        fill_dict(self.top(), items)

    def push_name(self, name: str) -> None:
        known = self.vocabulary.names.get(name)
        if known is None:
            raise Refusal(
                f"asks for {shown(name.replace(' ', '.', 1))}, which is no tensor, container or number: nothing of it "
                f"was run or read; ask whoever made the file for one with the bare state dict"
            )
        self.push(known)

    def push_stack_name(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("its pickle names a global by what is no text")
        self.push_name(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        arguments, target = self.pop(), self.pop()
        if type(target) is not Name or target.rebuild is None or type(arguments) is not tuple:
            what = target.name.replace(" ", ".", 1) if type(target) is Name else f"a {type(target).__name__}"
            raise Refusal(f"asks to call {what}, which no tensor needs, and was not opened")
        if len(arguments) > _MAX_ARGUMENTS:
            raise Refusal(
                f"calls {target.name.replace(' ', '.', 1)} with {len(arguments)} arguments, and was not opened"
            )
        self.push(target.rebuild(*arguments))

    def build(self, _: Any) -> None:
        state, target = self.pop(), self.top()
        if type(target) is dict and type(state) is dict:
            return  # the attributes of an OrderedDict, such as a state dict's _metadata: not needed
        self.vocabulary.set_state(target, state)

    def push_persistent(self, _: Any) -> None:
        self.push(self.vocabulary.persistent(self.pop()))

    def put(self, key: int) -> None:
        self.memo[key] = self.top()

    def protocol(self, version: int) -> None:
        if version > _NEWEST_PROTOCOL:
            raise Refusal(f"uses the pickle protocol {version}, and only those up to {_NEWEST_PROTOCOL} are known")


def fill_dict(target: Any, items: list[Any]) -> None:
    """Adds [key, value, key, value, ...] to a dict whose keys are text or numbers, each once."""
    if type(target) is not dict or len(items) % 2:
        raise ValueError("its pickle fills what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not (type(key) is str or (type(key) is int and abs(key) < _LARGEST_KEY)):
            raise Refusal(f"has a dict with a key that is a {type(key).__name__}, where text or a number was expected")
        if key in target:
            raise Refusal(f"has the name {shown(str(key))} twice in one dict")
        target[key] = value


def _ignore(machine: _Machine, argument: Any) -> None:
    """FRAME is a hint about buffering."""


_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)

_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": _Machine.protocol,
    "FRAME": _ignore,
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": _Machine.pop_or_unmark,
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.push(m.top()),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "LIST": lambda m, _: m.push(m.pop_to_mark()),
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.pop_to_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.push_tuple(1),
    "TUPLE2": lambda m, _: m.push_tuple(2),
    "TUPLE3": lambda m, _: m.push_tuple(3),
    "DICT": lambda m, _: _push_dict(m, m.pop_to_mark()),
    "SETITEM": lambda m, _: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_to_mark()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "GET": lambda m, key: m.push(m.memo[key]),
    "BINGET": lambda m, key: m.push(m.memo[key]),
    "LONG_BINGET": lambda m, key: m.push(m.memo[key]),
    "GLOBAL": _Machine.push_name,
    "STACK_GLOBAL": _Machine.push_stack_name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.push_persistent,
    **{name: _Machine.push for name in _LITERALS},
}


def _push_dict(machine: _Machine, items: list[Any]) -> None:
    machine.push({})
    machine.set_items(items)
