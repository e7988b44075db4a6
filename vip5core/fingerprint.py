"""Content hashes: what makes two datasets, feature stores, trials or versions of the code the same."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

_PACKAGE = "vip5core"

#: Where a trial starts: all that these import, directly or not, can change its numbers.
TRIAL_ROOTS = ("vip5core.trial.run", "vip5core.trial.p5_stage")

#: Where the training of SASRec starts.
SASREC_ROOTS = ("vip5core.baselines.sasrec",)

#: Where the answers of the baselines that are not trained come from.
SIMPLE_BASELINE_ROOTS = ("vip5core.baselines.simple",)

#: Where the preparation of a dataset starts.
PREPARATION_ROOTS = ("vip5core.data.sources",)

#: What turns image files into the input of an encoder, and calls it; its family has a module of its own.
ENCODING_ROOTS = ("vip5core.encoders.images", "vip5core.encoders.preparation", "vip5core.encoders.towers")

#: What reads features of the user's own.
OWN_FEATURES_ROOTS = ("vip5core.data.own_features", "vip5core.encoders.own_features")

#: Modules that change no number: they word messages, name folders, hold settings, which identities count by value, or
#: gather the encoders, of which features count the one that made them.
_NO_EFFECT = frozenset(f"{_PACKAGE}{name}" for name in ("", ".encoders", ".errors", ".home", ".presets", ".progress"))

#: The data files that modules read, as patterns within the module's folder.
DATA_FILES = {"vip5core.templates": "templates.yaml", "vip5core.encoders.zoo": "tiny/*.json"}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(*parts: Any) -> str:
    """The first 16 hex digits of sha256 over the canonical JSON of `parts`."""
    return hashlib.sha256(canonical_json(list(parts)).encode()).hexdigest()[:16]


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """The fingerprint of files by their names and bytes: read once per process, unless a file changes."""
    return _hash_files(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@functools.lru_cache(maxsize=16)
def _hash_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    return fingerprint([[path.name, sha256_file(path)] for path, _, _ in files])


def code_version() -> str:
    """The identity of the code that trials run: part of every trial's fingerprint, for a result belongs to its code.

    Sources are hashed, not a commit: an edited checkout is another version, and an installed wheel has no git.
    """
    return code_identity(*TRIAL_ROOTS)


@functools.cache
def code_identity(*roots: str) -> str:
    """The identity of the code that the modules `roots` run; see `hash_code`."""
    return hash_code(Path(__file__).parent, roots)


def hash_code(package: Path, roots: tuple[str, ...]) -> str:
    """A hash over what runs when the modules `roots` run.

    It covers the modules of `reached_modules` and the data files that they read. Of a module it covers the syntax tree
    without docstrings: comments, layout and documentation do not count.

    Args:
        package: The folder of `vip5core`, or of a copy of it.
        roots: Full names of modules.
    """
    parts = []
    for name, digest in sorted(reached_modules(package, roots).items()):
        files = sorted(_file_of(package, name).parent.glob(DATA_FILES[name])) if name in DATA_FILES else []
        parts.append([name, digest, [[path.name, sha256_file(path)] for path in files]])
    return fingerprint(parts)


def reached_modules(package: Path, roots: tuple[str, ...]) -> dict[str, str]:
    """`roots` and the modules of `vip5core` that they import, directly or not, with the hash of each one's code.

    Imports inside functions count, imports for type checkers alone do not; nor do modules that no number depends on
    (`_NO_EFFECT`).
    """
    reached: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in reached or name in _NO_EFFECT:
            continue
        reached[name], imported = _read_module(_file_of(package, name).read_bytes())
        for full_name in imported:
            parts = full_name.split(".")
            packages_and_module = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
            waiting += [module for module in packages_and_module if _file_of(package, module).is_file()]
    return reached


@functools.cache
def _read_module(source: bytes) -> tuple[str, tuple[str, ...]]:
    """The hash of a module's code, and what it imports of `vip5core`."""
    tree = ast.parse(source)
    return hashlib.sha256(_dump(tree).encode()).hexdigest(), tuple(_imports(tree))


def _file_of(package: Path, module: str) -> Path:
    """The file of a module or of a package's `__init__`; of a name that is neither, a file that does not exist."""
    path = package.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(node: ast.AST) -> Iterator[str]:
    """What a syntax tree imports of `vip5core`: modules, and names that may be modules."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.split(".")[0] == _PACKAGE)
        elif isinstance(child, ast.ImportFrom):
            if child.module and child.module.split(".")[0] == _PACKAGE:
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            yield from _imports(ast.Module(child.orelse, []))
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _imports(child)


def _dump(tree: ast.AST) -> str:
    """A syntax tree as text that is the same under every version of Python (unlike `ast.dump`), without docstrings."""
    pieces: list[str] = []
    _add(tree, pieces.append)
    return "".join(pieces)


def _add(value: Any, add: Callable[[str], None]) -> None:
    """Add the pieces of a part of a tree; every command hashes all of the code, so they are joined only once."""
    if isinstance(value, ast.AST):
        parts = [(name, getattr(value, name, None)) for name in value._fields]
        start = f"{type(value).__name__}("
        for name, part in parts:
            if part is not None and part != []:
                add(f"{start}{name}=")
                _add(part, add)
                start = ","
        add(")" if start == "," else f"{start})")
    elif isinstance(value, list):
        start = "["
        for part in value:
            if not _is_docstring(part):
                add(start)
                _add(part, add)
                start = ","
        add("]" if start == "," else "[]")
    else:
        add(repr(value))


def _is_docstring(node: object) -> bool:
    """Is it a string used as a statement, such as a docstring? It does nothing when it runs."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
