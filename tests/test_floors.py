"""The floors of the house: a module imports only from lower ones. Read from the source, nothing is imported."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "untrusted": -1,  # how text of strangers is read and shown
    "config": 0,
    "structures": 0,
    "files": 0,
    "optional": -1,
    "distributed": 0,
    "ops": 1,
    "model": 2,
    "data": 2,
    "report": 2,
    "semantic": 2,
    "classical": 2,
    "evaluation": 3,
    "checkpoints": 3,
    "tracking": 3,
    "prediction": 4,
    "training": 5,  # it predicts on its val part
    "serve": 5,
    "cli": 6,
    "tools": 7,  # many are the command line by another name
}
KNOWS_CONFIG = {"maskrcnn/model/build.py"}  # the one place on floor 2 that knows both settings and modules
ABOVE_ALL = {"maskrcnn/__init__.py", "maskrcnn/__main__.py"}  # the front door shows what users need
SOURCES = sorted([*(ROOT / "maskrcnn").rglob("*.py"), *(ROOT / "tools").rglob("*.py")])
NAMES = [path.relative_to(ROOT).as_posix() for path in SOURCES]


def imports(name: str) -> list[ast.Import | ast.ImportFrom]:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def own_packages(name: str) -> set[str]:
    """Parts of the package (config, ops, ...) that a file imports."""
    modules = []
    for node in imports(name):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif node.module == "maskrcnn":  # from maskrcnn import ops
            modules += [f"maskrcnn.{alias.name}" for alias in node.names]
        else:
            modules.append(node.module or "")
    parts = [module.split(".") for module in modules]
    # A bare `import maskrcnn` says where the package lies and loads nothing of it.
    return {part[1] for part in parts if part[0] == "maskrcnn" and len(part) > 1}


def package_of(name: str) -> str:
    folder, _, rest = name.partition("/")
    return "tools" if folder == "tools" else rest.split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ABOVE_ALL])
def test_a_module_imports_only_from_lower_floors(name: str):
    package = package_of(name)
    assert package in FLOORS, f"{name} is on no floor"
    for other in own_packages(name) - {package}:
        assert other in FLOORS, f"{name} imports maskrcnn.{other}, which is on no floor"
        assert FLOORS[other] < FLOORS[package], f"{name} imports maskrcnn.{other}"


@pytest.mark.parametrize("name", [name for name in NAMES if FLOORS.get(package_of(name)) in (1, 2)])
def test_settings_stop_at_build(name: str):
    assert ("config" in own_packages(name)) == (name in KNOWS_CONFIG)


@pytest.mark.parametrize("name", NAMES)
def test_imports_are_absolute(name: str):
    assert [node.lineno for node in imports(name) if isinstance(node, ast.ImportFrom) and node.level] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ABOVE_ALL])
def test_our_own_modules_are_imported_at_the_top(name: str):
    # Inside a function an import is for an optional or slow package; one of ours there hides a cycle.
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    at_top = {id(node) for node in tree.body}
    hidden = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maskrcnn") and id(node) not in at_top
    ]
    assert hidden == []


def test_modules_of_the_package_itself_are_found():
    assert {package_of(name) for name in NAMES} >= {
        "config",
        "structures",
        "files",
        "ops",
        "model",
        "data",
        "prediction",
    }
    assert own_packages("maskrcnn/model/build.py") == {"config", "model", "untrusted"}


def test_the_page_about_the_architecture_shows_every_floor():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    floor, shown = 0, {}
    for line in page.split("```")[1].splitlines():
        number = line[:3].strip()
        floor = int(number) if number.lstrip("-").isdigit() else floor
        for word in line[3:30].split():
            shown[word.rstrip("/").removesuffix(".py")] = floor
    assert shown == FLOORS


def strings(name: str) -> list[str]:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


BELOW_THE_DOORS = [name for name in NAMES if name not in ABOVE_ALL and package_of(name) not in ("cli", "tools")]


@pytest.mark.parametrize("name", [name for name in BELOW_THE_DOORS if name != "maskrcnn/report/html.py"])  # CSS
def test_modules_below_the_command_line_know_no_options(name: str):
    # A caller from Python has no options; cli/errors.py adds them to what an error says.
    assert [text for text in strings(name) if re.search(r"(?<![\w-])--[a-z]", text)] == []


@pytest.mark.parametrize("name", BELOW_THE_DOORS)
def test_modules_below_the_command_line_log_and_do_not_print(name: str):
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"] == []
