"""Pickles nobody's pickler wrote: opcodes in any order, with names and arguments that mean something to a reader."""

import io
import struct
import zipfile

from hypothesis import strategies as st

NAMES = [
    "os system",
    "builtins eval",
    "canary Plain",
    "collections OrderedDict",
    "collections defaultdict",
    "copyreg _reconstructor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch._tensor _rebuild_from_type_v2",
    "torch.storage _load_from_bytes",
    "torch FloatStorage",
    "numpy._core.multiarray _reconstruct",
    "numpy._core.multiarray scalar",
    "numpy dtype",
    "_codecs encode",
    "argparse Namespace",
    "mine Config",
]
TEXTS = ["storage", "0", "cpu", "W", "model", "state_dict", "train_indices", "f4", "latin1", "<", "module", "epoch"]
NUMBERS = [0, 1, 2, 3, 7, 255, -1, 2**31 - 1, 2**40]


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(number: int) -> bytes:
    data = number.to_bytes(8, "little", signed=True)
    return b"\x8a\x08" + data


pushes = st.one_of(
    st.sampled_from(NAMES).map(lambda name: b"c" + name.replace(" ", "\n").encode() + b"\n"),
    st.sampled_from(TEXTS).map(_text),
    st.sampled_from(NUMBERS).map(_number),
    st.sampled_from([b"N", b"\x88", b"]", b"}", b")", b"\x8f", b"C\x04\0\0\0\0", b"G?\xf0\0\0\0\0\0\0"]),
    st.integers(0, 6).map(lambda place: b"h" + bytes([place])),
)


def _name(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


scalars = st.one_of(
    st.sampled_from(NUMBERS).map(_number), st.sampled_from(TEXTS).map(_text), st.sampled_from([b"N", b")"])
)
shapes = st.lists(st.sampled_from(NUMBERS).map(_number), max_size=4).map(lambda sizes: _tuple(*sizes))
kinds = st.sampled_from(
    ["torch FloatStorage", "torch LongStorage", "torch BFloat16Storage", "torch.storage UntypedStorage"]
)
storages = st.builds(
    lambda kind, key, last: _tuple(_text("storage"), _name(kind), _text(key), _text("cpu"), last) + b"Q",
    kinds, st.sampled_from(["0", "1", ""]), scalars,
)  # fmt: skip
tensors = st.builds(
    lambda name, storage, offset, size, stride: (
        _name(name) + _tuple(storage, offset, size, stride, b"\x89", b"N", b"N") + b"R"
    ),
    st.sampled_from([f"torch._utils _rebuild_tensor{v}" for v in ("", "_v2", "_v3")]),
    storages | scalars, scalars, shapes, shapes,
)  # fmt: skip
types = st.builds(
    lambda code, order: (
        _name("numpy dtype") + _tuple(_text(code), b"\x89", b"\x88") + b"R" + _tuple(_number(3), order) + b"b"
    ),
    st.sampled_from(["f4", "f8", "i8", "u2", "O", "S3", "V9", "f4,f4", "?"]),
    st.sampled_from(["<", ">", "|"]).map(_text),
)
raws = st.one_of(st.integers(0, 80).map(lambda n: b"C" + bytes([n]) + bytes(n)), scalars, st.just(b"](K\x01e"))
arrays = st.builds(
    lambda kind, size, order, raw: (
        _name("numpy._core.multiarray _reconstruct")
        + _tuple(_name("numpy ndarray"), _tuple(_number(0)), b"C\x01b")
        + b"R"
        + _tuple(_number(1), size, kind, order, raw)
        + b"b"
    ),
    types, shapes, st.sampled_from([b"\x88", b"\x89"]), raws,
)  # fmt: skip
scalar_arrays = st.builds(
    lambda kind, raw: _name("numpy._core.multiarray scalar") + _tuple(kind, raw) + b"R", types | scalars, raws
)
states = st.lists(st.tuples(st.sampled_from(TEXTS), tensors | arrays), max_size=4).map(
    lambda parts: b"}(" + b"".join(_text(key) + value for key, value in parts) + b"u"
)
pushes = pushes | tensors | arrays | scalar_arrays | states | storages

MADE = b"( t l d 0 1 2 a e s u R b o \x81 \x85 \x86 \x87 \x90 \x91 \x92 \x93 \x94 Q".split(b" ")
steps = st.one_of(pushes, st.sampled_from(MADE), st.integers(0, 6).map(lambda place: b"q" + bytes([place])))
# a beginning and an end that make a state dict likely
BEGINNINGS = [[], [b"}", _text("W")], [b"}", _text("model"), b"}", _text("W")], [b"]", b"("], [b"("] * 4]
ENDS = [[], [b"s"], [b"s", b"s"], [b"R"], [b"R", b"s"], [b"t", b"R", b"s"], [b"b", b"s"], [b"\x86", b"R", b"s"]]


TAKEN = {
    b"a": 2,
    b"s": 3,
    b"R": 2,
    b"b": 2,
    b"\x81": 2,
    b"\x85": 1,
    b"\x86": 2,
    b"\x87": 3,
    b"\x92": 3,
    b"\x93": 2,
    b"Q": 1,
}
LEFT = {b"a": 1, b"s": 1, b"b": 1}  # one otherwise
TO_MARK = {b"t": 1, b"l": 1, b"d": 1, b"o": 1, b"\x91": 1, b"1": 0, b"e": 0, b"u": 0, b"\x90": 0}


def _program(beginning: list[bytes], middle: list[bytes], end: list[bytes]) -> bytes:
    """Without the steps for which the stack, a mark or a place of the memo is not there."""
    stacks, places, kept = [0], set(), []
    for step in (*beginning, *middle, *end):
        if step == b"(":
            stacks.append(0)
        elif step in TO_MARK:
            below = len(stacks) > 1 and (TO_MARK[step] or stacks[-2])
            if not below or (step == b"o" and not stacks[-1]) or (step in b"du" and stacks[-1] % 2):
                continue
            stacks.pop()
            stacks[-1] += TO_MARK[step]
        elif step in TAKEN:
            if stacks[-1] < TAKEN[step]:
                continue
            stacks[-1] += LEFT.get(step, 1) - TAKEN[step]
        elif step in (b"0", b"2") or step[:1] == b"q":
            if not stacks[-1]:
                continue
            stacks[-1] += {b"0": -1, b"2": 1}.get(step, 0)
            places |= {step[1:]} if step[:1] == b"q" else set()
        else:
            if step[:1] == b"h" and step[1:] not in places:
                continue
            stacks[-1] += 1
        kept.append(step)
    return b"\x80\x04" + b"".join(kept) + (b"t" * (len(stacks) - 1)) + b"."


programs = st.builds(
    _program, st.sampled_from(BEGINNINGS), st.lists(steps, min_size=1, max_size=60), st.sampled_from(ENDS)
)


def in_archive(program: bytes) -> bytes:
    """As torch's archives have it, with one storage."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/data/0", bytes(64))
    return stream.getvalue()
