"""The order of the house: layers, sizes of packages, mirrored tests, plain remarks, imports.

Each check takes a root, and is seen to fail on a small made-up tree of its own.
"""

import ast
import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("orchestrator", "api")
MOST_MODULES = 9
# By dotted name, with the reason.
WITHOUT_TEST_FILE: dict[str, str] = {}
QUESTION = re.compile(r"(What|Who|Whose|How|Which|Whether|Where|When|Why)\b")


def _modules(root: Path, *packages: str) -> Iterator[Path]:
    """Yield the modules of these packages, as paths below the root."""
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            if "__pycache__" not in file.parts and "node_modules" not in file.parts:
                yield file.relative_to(root)


class Facts(NamedTuple):
    """A module's docstrings and the names that it imports, each with its line."""

    docstrings: list[tuple[int, str]]
    imports: list[tuple[int, str]]


# Not the trees: a thousand of them keep the garbage collector busy.
@functools.cache
def _facts(file: Path) -> Facts:
    facts = Facts([], [])
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if text := ast.get_docstring(node):
                    facts.docstrings.append((node.body[0].lineno, text))
            case ast.Import():
                facts.imports.extend((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom(module=module):
                names = (f"{module}.{alias.name}" for alias in node.names)
                facts.imports.extend((node.lineno, name) for name in names)
    return facts


def _dotted(file: Path) -> str:
    return ".".join(file.with_suffix("").parts)


# --- Layers ---------------------------------------------------------------------------------------


def layer_faults(root: Path) -> list[str]:
    """Return the packages in no layer or in two, and the layers without a package."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (
        rule["layers"]
        for rule in settings["contracts"]
        if rule["type"] == "layers" and "containers" not in rule
    )
    placed = Counter(name.strip() for line in layers for name in re.split(r"[|:]", line))
    existing = {"api"} | {
        f"orchestrator.{folder.name}"
        for folder in (root / "orchestrator").iterdir()
        if folder.is_dir() and any(folder.rglob("*.py"))
    }
    return [
        *(f"{name} stands in no layer" for name in sorted(existing - placed.keys())),
        *(f"{name} stands in {n} layers" for name, n in sorted(placed.items()) if n > 1),
        *(f"{name} has a layer and no module" for name in sorted(placed.keys() - existing)),
    ]


def test_every_package_stands_in_one_layer() -> None:
    assert layer_faults(ROOT) == []


def test_a_package_in_no_layer_or_two_is_found(tmp_path: Path) -> None:
    for name in ("cli", "core", "log"):
        (tmp_path / "orchestrator" / name).mkdir(parents=True)
        (tmp_path / "orchestrator" / name / "one.py").touch()
    (tmp_path / "orchestrator/__pycache__").mkdir()
    layers = (
        '["orchestrator.cli", "api | orchestrator.chain", "orchestrator.core", "orchestrator.cli"]'
    )
    (tmp_path / "pyproject.toml").write_text(
        f'[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = {layers}\n'
    )
    assert layer_faults(tmp_path) == [
        "orchestrator.log stands in no layer",
        "orchestrator.cli stands in 2 layers",
        "orchestrator.chain has a layer and no module",
    ]


# --- Sizes ----------------------------------------------------------------------------------------


def size_faults(root: Path) -> list[str]:
    """Return the packages that hold too many modules."""
    counts = Counter(file.parent for file in _modules(root, *PRODUCT) if file.name != "__init__.py")
    return [
        f"{folder} holds {count} modules, and at most {MOST_MODULES} may"
        for folder, count in counts.items()
        if count > MOST_MODULES
    ]


def test_no_package_holds_too_many_modules() -> None:
    assert size_faults(ROOT) == []


def test_a_package_of_too_many_modules_is_found(tmp_path: Path) -> None:
    for folder, count in (("orchestrator/core", 9), ("api", 9), ("api/routes", 10)):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("__init__", *(f"m{number}" for number in range(count))):
            (tmp_path / folder / f"{name}.py").touch()
    assert size_faults(tmp_path) == ["api/routes holds 10 modules, and at most 9 may"]


# --- Mirrored tests -------------------------------------------------------------------------------


def untested_modules(root: Path) -> list[str]:
    """Return the modules of the product that have no test file at the mirrored place.

    The tests of orchestrator/log/inbox.py are tests/log/test_inbox.py or test_inbox_*.py; those of
    api/routes/public.py are in tests/api/routes.
    """
    missing = []
    for file in _modules(root, *PRODUCT):
        if file.name == "__init__.py" or _dotted(file) in WITHOUT_TEST_FILE:
            continue
        parts = file.parts[1:] if file.parts[0] == "orchestrator" else file.parts
        folder = root.joinpath("tests", *parts[:-1])
        whole, part = f"test_{file.name}", f"test_{file.stem}_*.py"
        if not (folder / whole).is_file() and not any(folder.glob(part)):
            missing.append(f"{file}: no {folder.relative_to(root) / whole}")
    return missing


def test_every_module_has_a_test_file_of_its_own() -> None:
    missing = untested_modules(ROOT)
    assert not missing, "\n".join(["modules without a test file:", *missing])


def test_every_exception_is_a_module() -> None:
    known = {_dotted(file) for file in _modules(ROOT, *PRODUCT)}
    assert WITHOUT_TEST_FILE.keys() <= known


def test_a_module_without_a_test_file_is_found(tmp_path: Path) -> None:
    for name in (
        "orchestrator/log/__init__.py",
        "orchestrator/log/inbox.py",
        "orchestrator/log/reader.py",
        "orchestrator/log/sequencer.py",
        "api/routes/public.py",
        "api/routes/wallets.py",
        "tests/log/test_inbox.py",
        "tests/log/test_sequencer_faults.py",
        "tests/log/test_readers.py",
        "tests/api/routes/test_public.py",
        "tests/routes/test_wallets.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert untested_modules(tmp_path) == [
        "orchestrator/log/reader.py: no tests/log/test_reader.py",
        "api/routes/wallets.py: no tests/api/routes/test_wallets.py",
    ]


# --- Docstrings -----------------------------------------------------------------------------------


def docstring_faults(root: Path) -> list[str]:
    """Return the docstrings that begin with the word of a question, by place."""
    return [
        f"{file}:{line}: {text.splitlines()[0]}"
        for file in _modules(root, *PRODUCT, "scripts", "tests")
        for line, text in _facts(root / file).docstrings
        if QUESTION.match(text)
    ]


def test_no_docstring_begins_like_a_question() -> None:
    faults = docstring_faults(ROOT)
    assert not faults, "\n".join(["docstrings that begin like a question:", *faults])


def test_a_docstring_like_a_question_is_found(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/one.py").write_text(
        '"""What this is."""\n\n\nclass One:\n    """Whatever comes."""\n\n'
        '    def two(self) -> None:\n        """How it goes.\n\n        On.\n        """\n\n\n'
        'async def three() -> None:\n    """Return it, whether or not."""\n    "Why"\n'
    )
    assert docstring_faults(tmp_path) == [
        "scripts/one.py:1: What this is.",
        "scripts/one.py:8: How it goes.",
    ]


def remark_faults(root: Path) -> list[str]:
    """Return the comments of SQL, each below its name, that begin with the word of a question."""
    faults = []
    for file in sorted((root / "orchestrator/storage/sql").rglob("*.sql")):
        before = ""
        for line, text in enumerate(file.read_text().splitlines(), 1):
            is_first = not before.startswith("--") or before.startswith("-- name:")
            if is_first and text.startswith("-- ") and QUESTION.match(text[3:]):
                faults.append(f"{file.relative_to(root)}:{line}: {text}")
            before = text
    return faults


def test_no_comment_of_sql_begins_like_a_question() -> None:
    faults = remark_faults(ROOT)
    assert not faults, "\n".join(["comments that begin like a question:", *faults])


def test_a_comment_of_sql_like_a_question_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "orchestrator/storage/sql/queries"
    folder.mkdir(parents=True)
    (folder / "one.sql").write_text(
        "-- What is here.\n-- How it is.\n\n-- name: two\n-- Whether it is.\nSELECT 1;\n"
        "-- The rows.\n-- Who reads them.\n"
    )
    assert remark_faults(tmp_path) == [
        "orchestrator/storage/sql/queries/one.sql:1: -- What is here.",
        "orchestrator/storage/sql/queries/one.sql:5: -- Whether it is.",
    ]


# --- Types ----------------------------------------------------------------------------------------


def unread_imports(root: Path) -> list[str]:
    """Return the imports of what the type checker is told to pass over, by place."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["mypy"]
    unread = {
        module.removesuffix(".*")
        for override in settings["overrides"]
        if override.get("follow_imports") == "skip"
        for module in override["module"]
    }
    return [
        f"{file}:{line}: {name}"
        for file in _modules(root, *PRODUCT, "scripts", "tests")
        for line, name in _facts(root / file).imports
        if name.split(".")[0] in unread
    ]


def test_what_is_imported_has_its_types() -> None:
    assert unread_imports(ROOT) == []


def test_an_import_without_types_is_found(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.mypy.overrides]]\nmodule = ["numpy.*"]\nfollow_imports = "skip"\n'
        '[[tool.mypy.overrides]]\nmodule = ["sha3"]\nignore_missing_imports = true\n'
    )
    (tmp_path / "api").mkdir()
    (tmp_path / "api/one.py").write_text(
        "import numpy.linalg, sha3\nif True:\n    from numpy import array\n"
    )
    assert unread_imports(tmp_path) == ["api/one.py:1: numpy.linalg", "api/one.py:3: numpy.array"]


# --- Imports of tests -----------------------------------------------------------------------------


def imports_of_tests(root: Path) -> list[str]:
    """Return the imports of a test module, by place; shared things live in tests/support."""
    return [
        f"{file}:{line}: {name}"
        for file in _modules(root, "tests")
        for line, name in _facts(root / file).imports
        if name.startswith("tests.")
        and any(part.startswith("test_") or part == "conftest" for part in name.split("."))
    ]


def test_no_test_module_is_imported() -> None:
    assert imports_of_tests(ROOT) == []


def test_an_import_of_a_test_module_is_found(tmp_path: Path) -> None:
    (tmp_path / "tests/log").mkdir(parents=True)
    (tmp_path / "tests/log/test_one.py").write_text(
        "import tests.support.worlds\n"
        "import tests.log.test_two\n"
        "from tests.support import servers, test_servers\n"
        "from tests.log.test_two import world\n"
        "from tests.conftest import anvil\n"
        "def test_one() -> None:\n    from tests.log import test_two\n"
    )
    assert imports_of_tests(tmp_path) == [
        "tests/log/test_one.py:2: tests.log.test_two",
        "tests/log/test_one.py:3: tests.support.test_servers",
        "tests/log/test_one.py:4: tests.log.test_two.world",
        "tests/log/test_one.py:5: tests.conftest.anvil",
        "tests/log/test_one.py:7: tests.log.test_two",
    ]
