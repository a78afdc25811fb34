"""Pickles written by hand to get something run, or to never end."""

# what an attacker writes by hand; each leaves a module `canary` that it asks for unimported, and ends in a sentence
BY_HAND = {
    "global": b"ccanary\nran\n(VX\ntR.",
    "global of os": b"cos\nsystem\n(Vtrue\ntR.",
    "named twice through the memo": b"cos\nsystem\nq\x00" + b"0h\x00(Vtrue\ntR.",
    "memo of a memo": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93(Vtrue\ntR.",
    "name built on the stack": b"\x80\x04\x8c\x06canary\x8c\x03ran\x93)R.",
    "dotted attributes": b"\x80\x04\x8c\x0bcollections\x8c\x20OrderedDict.__init__.__globals__\x93.",
    "dots through a module of torch": b"\x80\x04\x8c\x05torch\x8c\x0cos.system.xx\x93)R.",
    "inst": b"(Vtrue\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nVtrue\no.",
    "newobj": b"\x80\x02cos\nsystem\nVtrue\n\x85\x81.",
    "newobj_ex": b"\x80\x04cos\nsystem\n)}\x92.",
    "reduce of an instance": b"\x80\x02ccanary\nPlain\n)\x81)R.",
    "reduce of what was reduced": b"ccollections\nOrderedDict\n)R)R.",
    "build on a class": b"ccanary\nPlain\n}(V__setstate__\nccanary\nran\nub.",
    "build with dunders": b"\x80\x02ccanary\nPlain\n)\x81}(V__class__\nV__dict__\nV__getattr__\nV__reduce__\nub.",
    "a class as state": b"\x80\x02ccanary\nPlain\n)\x81ccanary\nPlain\nb.",
    "persistent id within one": b"((Vstorage\nccanary\nPlain\nQQ.",
    "persistent id as text": b"Pcanary\n.",
    "storage of a class": b"\x80\x02(Vstorage\nccanary\nPlain\nV0\nVcpu\nK\x01tQ.",
    "extension": b"\x80\x02\x82\x01.",
    "buffer from outside": b"\x80\x05\x97.",
    "partial": b"cfunctools\npartial\n(cos\nsystem\ntR.",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\nobject\nV__subclasses__\ntR.",
    "reconstructor of a call": b"ccopyreg\n_reconstructor\n(ccanary\nran\nc__builtin__\nobject\nNtR)R.",
    "apply": b"cbuiltins\napply\n(cos\nsystem\n(Vtrue\nltR.",
    "nested pickle": b"ctorch.storage\n_load_from_bytes\n(Vcos\\u000asystem\\u000a(Vtrue\\u000atR.\ntR.",
    "rebuild from type": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nccanary\nPlain\n(Vtrue\nt}tR.",
    "subclass with hooks": b"ctorch._utils\n_rebuild_parameter\n(ccanary\nPlain\nI01\n}(VX\nccanary\nran\nutR.",
    "load of torch": b"ctorch\nload\n(Vx.pt\ntR.",
    "hub of torch": b"ctorch.hub\nload\n(Vx\nVy\ntR.",
    "runstring of numpy": b"cnumpy.testing._private.utils\nrunstring\n(Vpass\n}tR.",
}


def nested_key(depth=60):
    """A dictionary whose key is a tuple of twice the same tuple, and so on: its hash takes 2^depth steps."""
    return b"\x80\x02}" + b"K\x01\x85" + b"2\x86" * depth + b"K\x01s."
