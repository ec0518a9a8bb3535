"""A pickle interpreter that builds containers, numbers and text, and runs nothing.

A pickle is a program for a stack machine, some of whose instructions import and call whatever they name. Here the
standard library's pickletools splits it into instructions (and runs none), and those in `_ACTIONS` are carried out.
A name such as `torch FloatStorage` is looked up in a table of this project's own. Every other name becomes a `StandIn`,
which swallows what the pickle does with it: a call gives the stand-in itself, and arguments, items and state vanish.
Nothing is imported, no attribute is followed, no method of a rebuilt object is called. Names that no honest file has,
and instructions that no tensor needs, are refused.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from emotion_gcn_jax.errors import shown
from emotion_gcn_jax.torch_files.stand_ins import StandIn, stand_in

MAX_INSTRUCTIONS = 1_000_000
"""An instruction may cost a few hundred bytes and ten microseconds; a DenseNet-121 with its optimiser has 60,000."""

_NEWEST_PROTOCOL = 5
_MAX_ARGUMENTS = 16  # of a call: thousands, handed over again and again, would be copied each time
_LARGEST_KEY = 2**63  # larger ones could be chosen to have one hash, which makes a dict quadratic
_SET = StandIn("builtins.set")  # a set hashes what is in it, as a dict does its keys


class Refusal(Exception):
    """Why a file is not read: completes the sentence that begins with the file's name."""


class Name(NamedTuple):
    """What stands for a global name of a pickle.

    Attributes:
        name: as the pickle has it, "module name".
        rebuild: what calling it does: one of this project's functions, or None where the result is not needed.
        value: what else a vocabulary needs to know of it.
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
        """Gives a rebuilt object that is neither a dict nor a stand-in its state."""


def interpret(stream: io.BytesIO, vocabulary: Vocabulary) -> Any:
    """Rebuilds the object of the pickle at the stream's position, and leaves the stream after it.

    Args:
        stream: in memory, so that a length which the pickle merely claims allocates nothing.
        vocabulary: the names that it may use.

    Raises:
        Refusal: it uses a dangerous name or an unknown instruction, is damaged, or is too long.
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
        if type(target) is StandIn:
            return
        if type(target) is not list:
            raise ValueError("its pickle appends to what is no list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        if type(self.top()) is not StandIn:
            fill_dict(self.top(), items)

    def add_items(self, _: list[Any]) -> None:
        if type(self.top()) is not StandIn:
            raise ValueError("its pickle adds to what is no set")

    def push_frozenset(self, _: Any) -> None:
        self.pop_to_mark()
        self.push(_SET)

    def push_name(self, name: str) -> None:
        known = self.vocabulary.names.get(name)
        self.push(known if known is not None else _unknown(name))

    def push_stack_name(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("its pickle names a global by what is no text")
        self.push_name(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        arguments, target = self.pop(), self.pop()
        if type(target) is not Name or target.rebuild is None:
            self.push(_instance(target))
            return
        if type(arguments) is not tuple:
            raise ValueError("its pickle calls with arguments that are no tuple")
        if len(arguments) > _MAX_ARGUMENTS:
            raise Refusal(f"calls {_dotted(target.name)} with {len(arguments)} arguments, and was not opened")
        self.push(target.rebuild(*arguments))

    def new_object(self, count: int) -> None:
        """Takes a class and `count` objects with its arguments, which vanish."""
        for _ in range(count):
            self.pop()
        self.push(_instance(self.pop()))

    def new_object_to_mark(self, _: Any) -> None:
        target, *_ = self.pop_to_mark()
        self.push(_instance(target))

    def new_named_object(self, name: str) -> None:
        self.pop_to_mark()
        self.push_name(name)
        self.push(_instance(self.pop()))

    def build(self, _: Any) -> None:
        state, target = self.pop(), self.top()
        if type(target) in (dict, StandIn):
            return  # of a dict the attributes, such as a state dict's _metadata: not needed
        self.vocabulary.set_state(target, state)

    def push_persistent(self, _: Any) -> None:
        self.push(self.vocabulary.persistent(self.pop()))

    def put(self, key: int) -> None:
        self.memo[key] = self.top()

    def protocol(self, version: int) -> None:
        if version > _NEWEST_PROTOCOL:
            raise Refusal(f"uses the pickle protocol {version}, and only those up to {_NEWEST_PROTOCOL} are known")


def fill_dict(target: Any, items: list[Any]) -> None:
    """Adds [key, value, key, value, ...] to a dict, each key once.

    Entries whose key is neither text nor a whole number below 2^63 are left out: no state dict has such names, and
    other keys could be chosen so that hashing them takes forever.
    """
    if type(target) is not dict or len(items) % 2:
        raise ValueError("its pickle fills what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not (type(key) is str or (type(key) is int and abs(key) < _LARGEST_KEY)):
            continue
        if key in target:
            raise Refusal(f"has the name {shown(str(key))} twice in one dict")
        target[key] = value


def _unknown(name: str) -> StandIn:
    """What stands for a name that is in no vocabulary."""
    module, _, attribute = name.partition(" ")
    standing = stand_in(module, attribute)
    if standing is None:
        raise Refusal(
            f"asks for {shown(_dotted(name))}, which is no tensor, container or number and which no honest weight file "
            f"names: nothing of it was run or read; ask whoever made the file for one with the bare state dict"
        )
    return standing


def _instance(target: Any) -> StandIn:
    """What stands for an object that a class or function of the pickle would make."""
    if type(target) is Name:
        return StandIn(_dotted(target.name))
    if type(target) is not StandIn:
        raise Refusal(f"asks to call a {type(target).__name__}, which no tensor needs, and was not opened")
    return target


def _dotted(name: str) -> str:
    return name.replace(" ", ".", 1)


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
    "EMPTY_SET": lambda m, _: m.push(_SET),
    "ADDITEMS": lambda m, _: m.add_items(m.pop_to_mark()),
    "FROZENSET": _Machine.push_frozenset,
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
    "NEWOBJ": lambda m, _: m.new_object(1),
    "NEWOBJ_EX": lambda m, _: m.new_object(2),
    "OBJ": _Machine.new_object_to_mark,
    "INST": _Machine.new_named_object,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.push_persistent,
    **{name: _Machine.push for name in _LITERALS},
}


def _push_dict(machine: _Machine, items: list[Any]) -> None:
    machine.push({})
    machine.set_items(items)
