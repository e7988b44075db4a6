"""Untrusted pickles: plain data is loaded, anything else is rejected by name, and no code is ever run."""

from __future__ import annotations

import collections
import os
import pickle
import pickletools
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vip5core.data.readers.release.plain_pickle import load_plain_pickle
from vip5core.errors import UserError

PLAIN = {
    "texts": ["", "é", "\U0001f600", "x" * 70_000, "\ud800"],
    "numbers": [0, -1, 255, 65_536, 2**31, -(2**63), 10**300, 1.5, float("inf"), True, False, None],
    "nested": {"a": [({"b": (1, (2, (3, ())))},)]},
    ("a", 1): {1: "one", 2.5: "two"},
    "sets": [{1, 2}, frozenset("ab"), set()],
    "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
}

every_protocol = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))


class Call:
    """Calls `function` where it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


class Pointing(pickle.Pickler):
    """Writes references to things outside the pickle."""

    def persistent_id(self, value: object) -> str | None:
        return "elsewhere" if value == "point" else None


def load(folder: Path, data: bytes) -> Any:
    path = folder / "data.pkl"
    path.write_bytes(data)
    return load_plain_pickle(path)


def refusal(folder: Path, data: bytes) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, data)
    assert "\n" not in str(caught.value)
    assert "data.pkl' " in str(caught.value)
    return str(caught.value)


@every_protocol
def test_plain_data_comes_out_as_it_went_in(protocol: int, tmp_path: Path) -> None:
    value = load(tmp_path, pickle.dumps(PLAIN, protocol))
    assert value == PLAIN
    assert list(value["ordered"]) == ["z", "a"]


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@pytest.mark.slow
@given(value=plain_values, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_any_plain_value_comes_out_as_it_went_in(
    value: object, protocol: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert load(tmp_path_factory.getbasetemp(), pickle.dumps(value, protocol)) == value


@every_protocol
def test_what_would_have_to_be_imported_is_rejected_by_name_and_not_run(protocol: int, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    for harm, name in (
        (Call(os.system, f"touch {touched}"), "posix.system"),
        (Call(eval, f"open({str(touched)!r}, 'w')"), ".eval"),
        (Call(exec, f"open({str(touched)!r}, 'w')"), ".exec"),
        (Call(open, str(touched), "w"), "io.open"),
        (Call(getattr, "text", "upper"), ".getattr"),
        (Call(__import__, "os"), ".__import__"),
        (Call(shutil.rmtree, str(tmp_path)), "shutil.rmtree"),
        (os.system, "posix.system"),
        (Path("x"), "pathlib.PosixPath"),
        (complex(1, 2), ".complex"),
        (collections.Counter("ab"), "collections.Counter"),
        (collections.defaultdict(list), "collections.defaultdict"),
        (ValueError("x"), ".ValueError"),
        (type, ".type"),
    ):
        for value in (harm, {"a": [1, (harm,)]}):
            message = refusal(tmp_path, pickle.dumps(value, protocol))
            assert f"{name}'" in message
            assert "only plain containers, strings and numbers are read" in message
    assert not touched.exists()


@every_protocol
@pytest.mark.parametrize("value", [np.float32(1), np.arange(3), np.int64(1), np.dtype("f4")], ids=type)
def test_numpy_is_rejected_by_name(value: object, protocol: int, tmp_path: Path) -> None:
    assert "'numpy" in refusal(tmp_path, pickle.dumps({"a": value}, protocol))


@every_protocol
def test_a_reference_to_something_outside_is_rejected(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "pointing"
    with path.open("wb") as file:
        Pointing(file, protocol).dump(["point"])
    assert "contains a reference to an external object" in refusal(tmp_path, path.read_bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"cbuiltins\nset.__class__\n.",
        b"c__builtin__\neval\n.",
        b"cvip5core.data.readers.release.plain_pickle\nPath\n.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"cos\nsystem\n)\x81.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x04\x8c\x03\xed\xa0\x80\x8c\x01x\x93.",
        b"\x80\x04\x8c\x02a\n\x8c\x04b\x1b[2\x93.",
        b"\x80\x04X\xff\xff\x00\x00" + b"m" * 65535 + b"\x8c\x01x\x93.",
    ],
)
def test_a_name_is_rejected_however_it_is_written(data: bytes, tmp_path: Path) -> None:
    message = refusal(tmp_path, data)
    assert "only plain containers" in message
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"ccollections\nOrderedDict\n)R}S'items'\nS'x'\nsb.", id="a method replaced"),
        pytest.param(b"c__builtin__\nset\n}S'add'\nS'x'\nsb.", id="a method of a type replaced"),
        pytest.param(b"c__builtin__\nset\n(I1\nI2\ntR.", id="a call that fails"),
        pytest.param(b"}]Ns.", id="a key that cannot be one"),
        pytest.param(b"I1\nI2\nR.", id="a number called"),
        pytest.param(b"\x82\x01.", id="an extension"),
        pytest.param(b"h\x05.", id="what was not remembered"),
        pytest.param(b"a.", id="nothing to append to"),
        pytest.param(b"Nb.", id="no state"),
        pytest.param(b"J\x01", id="half a number"),
        pytest.param(b"I" + b"9" * 5000 + b"\n.", id="a number of too many digits"),
        pytest.param(b"\x80\x63N.", id="a protocol to come"),
        pytest.param(b"S'\xff'\n.", id="bytes that are no text"),
        pytest.param(b"X\xff\xff\xff\xff.", id="a longer text than there is"),
        pytest.param(b"\x8d" + b"\xff" * 7 + b"\x7f.", id="a text of exabytes"),
        pytest.param(b"\x95" + b"\xff" * 7 + b"\x7fN", id="a frame of exabytes"),
        pytest.param(b"\x96" + b"\xff" * 7 + b"\x7f.", id="an array of exabytes"),
        pytest.param(b"N", id="no end"),
        pytest.param(b".", id="nothing"),
        pytest.param(b"", id="no byte"),
    ],
)
def test_a_broken_pickle_is_rejected(data: bytes, tmp_path: Path) -> None:
    assert "is not a pickle" in refusal(tmp_path, data)


def test_a_small_file_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    """The unpickler written in C makes room for 2**31 objects here."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert load(tmp_path, b"Nr\x00\x00\x00\x06.") is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.pkl' cannot be read \(No such file or directory\)"):
        load_plain_pickle(tmp_path / "nowhere.pkl")
    with pytest.raises(UserError, match="cannot be read"):
        load_plain_pickle(tmp_path)


KINDS = (type(None), bool, int, float, str, bytes, bytearray, memoryview, tuple, list, dict, set, frozenset)


def gives_a_value_or_a_users_error(folder: Path, data: bytes) -> None:
    try:
        outcome = load(folder, data)
    except UserError as error:
        outcome = str(error)
    assert isinstance(outcome, KINDS) or outcome in (dict, set, frozenset)


@given(protocol=st.integers(0, pickle.HIGHEST_PROTOCOL), kept=st.floats(0, 1, exclude_max=True))
def test_a_truncated_pickle_is_a_user_error(
    protocol: int, kept: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = pickle.dumps({**PLAIN, "texts": ["some"]}, protocol)
    refusal(tmp_path_factory.getbasetemp(), data[: int(kept * len(data))])


OPCODES = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])
STACK = st.sampled_from(
    [b"N", b"]", b"}", b")", b"(", b"K\x01", b"\x8c\x01a", b"c__builtin__\nset\n", b"I5\n", b"0", b"2"]
)


@given(st.binary(max_size=200) | st.lists(OPCODES | STACK | st.binary(max_size=3), max_size=30).map(b"".join))
@example(b"Nr\xff\xff\xff\x7f.")
def test_random_bytes_are_a_value_or_a_users_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    gives_a_value_or_a_users_error(tmp_path_factory.getbasetemp(), data + b".")


@given(
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_pickle_is_a_value_or_a_users_error(
    protocol: int, changes: list[tuple[float, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(pickle.dumps({**PLAIN, "texts": ["some"]}, protocol))
    for place, byte in changes:
        data[int(place * len(data))] = byte
    gives_a_value_or_a_users_error(tmp_path_factory.getbasetemp(), bytes(data))
