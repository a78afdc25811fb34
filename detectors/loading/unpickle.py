"""A pickle read as data: no name in it is imported, nothing is called, and no state is set on anything but a stand-in.

The opcodes are those of `pickletools`. What Python's own unpickler would import, call or set state on becomes an
`Inert` that says so; what of these is an array, or a harmless part of a configuration, is for `arrays` and `plain` to
say. Names that no checkpoint needs are collected in `Pickle.refused`, and a file that has one is not read.

Cost is linear in the file: dictionary keys are hashed only where their hash is their own (that of nested tuples may
take for ever, and integers beyond 64 bits can be made to collide), sets are lists, and the memo is a dictionary.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from detectors.loading.names import callable_as_data, harmless, name_of

MAX_OPCODES = 4_000_000  # 4 s and half a gigabyte; every number of a loss curve is one or two
MAX_BITS = 1024  # of an integer: longer ones take quadratic time to print, and no checkpoint has them
MEMO_PLACES = 2**32  # what the binary opcodes can say

How = Literal["name", "call", "object", "storage"]


@dataclass(eq=False, slots=True, repr=False)
class Inert:
    """What a pickle asks for and does not get.

    how: a name alone, a call of it, an object of that class, or a storage of torch's that lies outside of the pickle.
    args, state, pairs, values: what the file says of it. It has no repr of these, which may hold themselves or be of
    exponential length, and is hashed by its identity.
    """

    name: str
    how: How
    args: Any = ()
    state: Any = None
    pairs: dict[Any, Any] | None = None
    values: list[Any] | None = None


class Damaged(ValueError):
    """A pickle that does not follow its own rules."""


class Pickle:
    """One pickle of a stream, which is left behind its STOP. refused: names on the way that no checkpoint needs."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.refused: set[str] = set()

    def read(self) -> Any:
        """Errors: ValueError and the like for damaged ones; IndexError where the stack runs out."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self.stream)):
            if count > MAX_OPCODES:
                raise Damaged(f"it has more than {MAX_OPCODES:,} parts")
            _OPCODES[opcode.name](self, argument)
        return self.pop()

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise Damaged("its stack runs out")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found

    def push(self, value: Any) -> None:
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise Damaged(f"it has an integer of {value.bit_length():,} bits")
        self.stack.append(value)

    def put(self, place: int) -> None:
        if not 0 <= place < MEMO_PLACES:
            raise Damaged("its memo has no such place")
        self.memo[place] = self.stack[-1]

    def named(self, module: Any, attribute: Any) -> None:
        if not (isinstance(module, str) and isinstance(attribute, str)):
            raise Damaged("a name in it is no text")
        name = name_of(module, attribute)
        if not harmless(name):
            self.refused.add(name)
        self.stack.append(Inert(name, "name"))

    def called(self, function: Any, args: Any) -> None:
        if not isinstance(function, Inert) or function.how != "name" or not isinstance(args, tuple):
            raise Damaged("it calls what is no name")
        if not callable_as_data(function.name, args):
            self.refused.add(function.name)
        self.stack.append(_value(function.name, args))

    def made(self, kind: Any, args: Any) -> None:
        """An object of a class, empty as yet."""
        if not isinstance(kind, Inert) or kind.how != "name":
            raise Damaged("it makes an object of what is no name")
        self.stack.append(Inert(kind.name, "object", args))

    def build(self, state: Any) -> None:
        if isinstance(self.stack[-1], Inert):
            self.stack[-1].state = state  # of dictionaries it is the versions of a state dict's modules

    def extend(self, values: list[Any]) -> None:
        target: Any = self.stack[-1]
        if isinstance(target, Inert):
            target.values = target.values or []
            target = target.values
        if not isinstance(target, list):
            raise Damaged("it appends to what is no list")
        target.extend(values)

    def update(self, flat: list[Any]) -> None:
        target: Any = self.stack[-1]
        if isinstance(target, Inert):
            target.pairs = target.pairs or {}
            target = target.pairs
        if not isinstance(target, dict) or len(flat) % 2:
            raise Damaged("it sets items of what is no dictionary")
        target.update(zip(map(_key, flat[::2]), flat[1::2], strict=True))


Opcode = Callable[[Pickle, Any], None]


def _key(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > 64:
        return Inert("key", "object", (value,))
    return value if isinstance(value, str | bytes | int | float | None) else Inert("key", "object", (value,))


def _value(name: str, args: tuple[Any, ...]) -> Any:
    """What a call stands for where that is a plain container or another object's beginning; else the call itself."""
    first = args[0] if args else None
    match name:
        case "collections.OrderedDict" | "collections.defaultdict" | "collections.Counter":
            return first if isinstance(first, dict) else {}
        case "builtins.set" | "builtins.frozenset" | "collections.deque":
            return first if isinstance(first, list) else []
        case "builtins.tuple" | "builtins.list" | "builtins.dict" | "torch.Size" if isinstance(
            first, list | tuple | dict
        ):
            return first
        case "copyreg._reconstructor" | "copyreg.__newobj__" if isinstance(first, Inert) and first.how == "name":
            base = args[2] if len(args) > 2 else None  # of a subclass of dict or list, in the oldest protocols
            made = Inert(first.name, "object", args[1:])
            made.pairs = base if isinstance(base, dict) else None
            made.values = base if isinstance(base, list) else None
            return made
    return Inert(name, "call", args)


def _refuse(pickle: Pickle, argument: Any) -> None:
    raise Damaged("it needs what lies outside of the file")


def _inst(pickle: Pickle, argument: str) -> None:
    args = tuple(pickle.since_mark())
    pickle.named(*argument.split(" ", 1))
    pickle.made(pickle.pop(), args)


def _obj(pickle: Pickle, argument: None) -> None:
    kind, *args = pickle.since_mark()
    pickle.made(kind, tuple(args))


def _two(method: Callable[[Pickle, Any, Any], None]) -> Opcode:
    """An opcode that takes two values from the stack, the upper one last."""

    def opcode(pickle: Pickle, argument: None) -> None:
        upper = pickle.pop()
        method(pickle, pickle.pop(), upper)

    return opcode


def _new_with_keywords(pickle: Pickle, argument: None) -> None:
    keywords, args, kind = pickle.pop(), pickle.pop(), pickle.pop()
    pickle.made(kind, (args, keywords))


def _pop(pickle: Pickle, argument: None) -> None:
    if pickle.marks and pickle.marks[-1] == len(pickle.stack):
        pickle.marks.pop()
    else:
        pickle.stack.pop()


def _pop_mark(pickle: Pickle, argument: None) -> None:
    pickle.since_mark()


def _dict(pickle: Pickle, argument: None) -> None:
    flat = pickle.since_mark()
    pickle.stack.append({})
    pickle.update(flat)


def _push(constant: Any) -> Opcode:
    return lambda pickle, argument: pickle.stack.append(constant)


def _push_new(kind: Callable[[], Any]) -> Opcode:
    return lambda pickle, argument: pickle.stack.append(kind())


def _persistent(pickle: Pickle, argument: None) -> None:
    said = pickle.pop()
    if isinstance(said, tuple) and len(said) > 1 and said[0] == "module":  # a class with its source, in older files
        pickle.stack.append(said[1])
    else:
        pickle.stack.append(Inert("", "storage", said))


def _nothing(pickle: Pickle, argument: Any) -> None:
    pass


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSHED = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list, "EMPTY_TUPLE": tuple}
_OPCODES: dict[str, Opcode] = {
    **{name: _push(value) for name, value in _CONSTANTS.items()},
    **dict.fromkeys(_PUSHED.split(), Pickle.push),
    **{name: _push_new(kind) for name, kind in _EMPTY.items()},
    **dict.fromkeys(("LIST", "FROZENSET"), lambda p, _: p.stack.append(p.since_mark())),
    "TUPLE": lambda p, _: p.stack.append(tuple(p.since_mark())),
    "TUPLE1": lambda p, _: p.stack.append((p.pop(),)),
    "TUPLE2": _two(lambda p, a, b: p.stack.append((a, b))),
    "TUPLE3": _two(lambda p, b, c: p.stack.append((p.pop(), b, c))),
    "DICT": _dict,
    "APPEND": lambda p, _: p.extend([p.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda p, _: p.extend(p.since_mark())),
    "SETITEM": _two(lambda p, key, value: p.update([key, value])),
    "SETITEMS": lambda p, _: p.update(p.since_mark()),
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": lambda p, _: p.stack.append(p.stack[-1]),
    "MARK": lambda p, _: p.marks.append(len(p.stack)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda p, place: p.stack.append(p.memo[place])),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Pickle.put),
    "MEMOIZE": lambda p, _: p.put(len(p.memo)),
    "GLOBAL": lambda p, text: p.named(*text.split(" ", 1)),
    "STACK_GLOBAL": _two(Pickle.named),
    "REDUCE": _two(Pickle.called),
    "BUILD": lambda p, _: p.build(p.pop()),
    "INST": _inst,
    "OBJ": _obj,
    "NEWOBJ": _two(Pickle.made),
    "NEWOBJ_EX": _new_with_keywords,
    "PERSID": lambda p, text: p.stack.append(Inert("", "storage", text)),
    "BINPERSID": _persistent,
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(("NEXT_BUFFER", "READONLY_BUFFER", "EXT1", "EXT2", "EXT4"), _refuse),
}
