"""Who may import whom: the rules of .github/CONTRIBUTING.md, on the source, which is not run.

Imports inside functions and under TYPE_CHECKING count like any other."""

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLI = "scripts.cli"  # the command line

# The lowest row first. A module imports from the rows before its own and from its own package;
# packages that share a row do not import one another. `__init__` is the tree's own.
ROWS: dict[str, tuple[set[str], ...]] = {
    "translate": (
        {"wire"},
        {"providers"},
        {"tools"},
        {"mappings"},
        {"reply"},
        {"state"},
        {"request"},
        {"dialects"},
        {"exchange"},
        {"__init__"},
    ),
    "addons": (
        {"__init__", "identity"},
        {
            "http_client",
            "demo_provider",
            "parent_watch",
            "port_holder",
            "private_files",
            "relay_health",
            "start_report",
            "system_keyring",
        }
        | {"user_folders"},
        {"flow_data"},
        {"secret_mask"},
        {"transport", "config"},
        {"large_work"},
        {"ingress", "storage", "accounts"},
        {"routing", "observe"},
        {"codex_blocks", "startup"},
        {"exchange", "endpoints", "views", "dashboard"},
        {"replay"},
        {"relay"},
        {"launch"},
    ),
    # It may import all of the relay's public names, and is imported by none of the relay.
    CLI: (
        {"__init__", "errors"},
        {"console", "running_relay", "toml_texts", "user_settings"},
        {"relay_client", "start_report", "tables", "user_target"},
        {"completions", "listings", "page_opener"},
        {"codex_config"},
        {"launcher", "probe", "relay_process", "service", "setup"},
        {"doctor", "next_step", "removal"},
        {"commands"},
        {"command_group"},
        {"app"},
        {"__main__"},
    ),
}
IMPURE = {
    "addons", "scripts", "tests",
    "PIL", "httpx", "httpx2", "mitmproxy", "tornado",
    "asyncio", "datetime", "http", "io", "logging", "os", "pathlib", "random", "secrets", "socket",
    "ssl", "subprocess", "sys", "threading", "time", "urllib", "uuid",
}  # fmt: skip
SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


@dataclass(frozen=True)
class Import:
    """One name that an import statement brings in."""

    path: Path
    line: int
    importer: str  # dotted name of the module with the statement
    module: str  # what stands after `import`, or after `from` and without its dots
    level: int  # how many dots these are
    name: str | None  # what is imported from it; None for `import module`
    local_name: str

    @property
    def place(self) -> str:
        return f"{self.path.as_posix()}:{self.line}"

    @property
    def full_name(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


class SourceTree:
    """Every module of the trees below `root`, parsed, and every import in them."""

    def __init__(self, root: Path) -> None:
        self.syntax: dict[str, ast.Module] = {}
        self.paths: dict[str, Path] = {}
        self.imports: list[Import] = []
        folders = [root / tree.replace(".", "/") for tree in ROWS]
        for file in sorted(file for folder in folders for file in folder.rglob("*.py")):
            path = file.relative_to(root)
            parts = path.with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            self.paths[module] = path
            self.syntax[module] = ast.parse(file.read_text(), str(path))
            self.imports += module_imports(module, path, self.syntax[module])
        self.packages = {".".join(path.parent.parts) for path in self.paths.values()}

    def imports_between(self, importing: str, imported: str) -> list[Import]:
        """What one tree imports from the other, or from itself."""
        return [
            item
            for item in self.imports
            if (tree_of(item.importer), tree_of(item.module)) == (importing, imported)
        ]

    def target_module(self, item: Import) -> str:
        """The module that an import reads: a submodule rather than a name of its package."""
        return item.full_name if item.full_name in self.paths else item.module

    def exported_names(self, package: str) -> set[str]:
        """`__all__` of a package's `__init__`; empty where there is none."""
        for node in self.syntax.get(package, ast.Module([], [])).body:
            match node:
                case ast.Assign(targets=[ast.Name("__all__")], value=value):
                    return set(ast.literal_eval(value))
        return set()


def module_imports(module: str, path: Path, syntax: ast.Module) -> Iterator[Import]:
    package = ".".join(path.parent.parts)
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local_name = alias.asname or alias.name.partition(".")[0]
                yield Import(path, node.lineno, module, alias.name, 0, None, local_name)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            source = importlib.util.resolve_name(f"{dots}{node.module or ''}", package)
            for alias in node.names:
                local_name = alias.asname or alias.name
                yield Import(path, node.lineno, module, source, node.level, alias.name, local_name)


def tree_of(module: str) -> str:
    return CLI if f"{module}.".startswith(f"{CLI}.") else module.partition(".")[0]


def unit_of(module: str) -> str:
    """The package or top-level module that a module belongs to; each has a row."""
    return [*module.removeprefix(tree_of(module)).split("."), "__init__"][1]


# The rules: each yields its violations as "path:line: what is wrong".


def row_violations(tree: str, source: SourceTree) -> Iterator[str]:
    rows = {unit: row for row, units in enumerate(ROWS[tree]) for unit in units}
    for module, path in source.paths.items():
        if tree_of(module) == tree and unit_of(module) not in rows:
            yield f"{path.as_posix()}:1: {unit_of(module)!r} has no row in ROWS[{tree!r}]"
    for item in source.imports_between(tree, tree):
        target = source.target_module(item)
        importing, imported = unit_of(item.importer), unit_of(target)
        if importing == imported or not {importing, imported} <= rows.keys():
            continue
        if rows[imported] >= rows[importing]:
            order = "shares its row with" if rows[imported] == rows[importing] else "is below"
            yield f"{item.place}: imports {target}, but {importing!r} {order} {imported!r}"


def cycle_violations(source: SourceTree) -> Iterator[str]:
    places: dict[tuple[str, str], str] = {}
    graph: dict[str, set[str]] = {module: set() for module in source.paths}
    for item in source.imports:
        if (target := source.target_module(item)) in graph:
            graph[item.importer].add(target)
            places.setdefault((item.importer, target), item.place)
    while True:
        try:
            TopologicalSorter(graph).prepare()
            return
        except CycleError as error:
            cycle: list[str] = error.args[1][::-1]  # each module imports the next
            yield f"{places[cycle[0], cycle[1]]}: import cycle {' → '.join(cycle)}"
            graph[cycle[0]].remove(cycle[1])


def translate_violations(source: SourceTree) -> Iterator[str]:
    public = source.exported_names("translate")
    importing = source.imports_between("addons", "translate")
    for item in importing + source.imports_between(CLI, "translate"):
        if item.module != "translate":
            yield f"{item.place}: imports {item.full_name}; others use `from translate import …`"
        elif item.name is None:
            yield from attribute_violations(source, item, public)
        elif item.name not in public:
            yield f"{item.place}: {item.name!r} is not in translate.__all__"


def package_violations(source: SourceTree) -> Iterator[str]:
    importing = source.imports_between("addons", "addons")
    for item in importing + source.imports_between(CLI, "addons"):
        if item.full_name in ("addons", "addons.*"):
            yield f"{item.place}: imports all of addons; name the package"
            continue
        package = ".".join(item.full_name.split(".")[:2])
        if package not in source.packages:
            continue  # a top-level module has no `__init__` to go through
        if f"{item.importer}.".startswith(f"{package}."):
            if source.target_module(item) == package:
                yield f"{item.place}: imports from the __init__ of its own package"
        else:
            yield from foreign_package_violations(source, item, package)


def foreign_package_violations(source: SourceTree, item: Import, package: str) -> Iterator[str]:
    public = source.exported_names(package)
    if item.module == "addons":
        yield from attribute_violations(source, item, public)
    elif item.module != package or item.name is None:
        yield (
            f"{item.place}: imports {item.full_name}; other packages use"
            f" `from {package} import …` or `from addons import {unit_of(package)}`"
        )
    elif item.name not in public:
        yield f"{item.place}: {item.name!r} is not in {package}.__all__"


def attribute_violations(source: SourceTree, item: Import, public: set[str]) -> Iterator[str]:
    """The module is imported whole: only its public attributes are used, and never itself."""
    for node in name_uses(source.syntax[item.importer], item.local_name):
        place = f"{item.path.as_posix()}:{node.lineno}"
        if isinstance(node, ast.Name):
            yield f"{place}: uses the module {item.full_name} as a value"
        elif node.attr not in public:
            yield f"{place}: {node.attr!r} is not in {item.full_name}.__all__"


def name_uses(node: ast.AST, name: str) -> Iterator[ast.Attribute | ast.Name]:
    """Every `name.attribute` and bare `name`, except in scopes with a local of that name."""
    match node:
        case ast.Attribute(value=ast.Name(id=base)) if base == name:
            yield node
        case ast.Name(id=base, ctx=ast.Load()) if base == name:
            yield node
        case _ if not (isinstance(node, SCOPES) and binds_name(node, name)):
            for child in ast.iter_child_nodes(node):
                yield from name_uses(child, name)


def binds_name(scope: ast.AST, name: str) -> bool:
    pending = list(ast.iter_child_nodes(scope))
    while pending:
        match node := pending.pop():
            case ast.arg(arg=bound) | ast.Name(id=bound, ctx=ast.Store()) if bound == name:
                return True
            case _ if not isinstance(node, (*SCOPES, ast.ClassDef)):
                pending += ast.iter_child_nodes(node)
    return False


def purity_violations(source: SourceTree) -> Iterator[str]:
    for item in source.imports:
        if tree_of(item.importer) == "translate" and tree_of(item.module) in IMPURE:
            yield f"{item.place}: imports {item.module}; translate is pure: values in, values out"


def relative_violations(source: SourceTree) -> Iterator[str]:
    for item in source.imports:
        if item.level and tree_of(item.importer) != CLI:
            yield f"{item.place}: imports from {'.' * item.level}; imports are absolute"


def command_line_violations(source: SourceTree) -> Iterator[str]:
    """The installed command line has another name than in a checkout."""
    for item in source.imports:
        target = source.target_module(item)
        if tree_of(target) != CLI or (item.importer, unit_of(target)) == (CLI, "__init__"):
            continue
        if tree_of(item.importer) != CLI:
            yield f"{item.place}: imports {target}; nothing imports the command line"
        elif not item.level:
            yield f"{item.place}: imports {target}; imports in the command line are relative"
        elif unit_of(target) == unit_of(item.importer) == "commands":
            yield f"{item.place}: imports {target}; commands do not import one another"


def export_violations(source: SourceTree) -> Iterator[str]:
    for module, path in source.paths.items():
        for node in source.syntax[module].body:
            match node:
                case ast.Assign(targets=[ast.Name("__all__")], value=value):
                    place, names = f"{path.as_posix()}:{node.lineno}", ast.literal_eval(value)
                    if names != sorted(set(names)):
                        yield f"{place}: __all__ is not sorted, or names something twice"
                    bound = bound_names(source, module)
                    yield from (
                        f"{place}: there is no {name!r}" for name in names if name not in bound
                    )


def bound_names(source: SourceTree, module: str) -> set[str]:
    imported = {item.local_name for item in source.imports if item.importer == module}
    definitions = (*SCOPES[:2], ast.ClassDef)
    defined = {node.name for node in source.syntax[module].body if isinstance(node, definitions)}
    nodes = ast.walk(source.syntax[module])
    assigned = {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return imported | defined | assigned


def library_name_violations(source: SourceTree) -> Iterator[str]:
    """While mitmproxy loads the script, addons/ is first on sys.path and hides such a library."""
    for module, path in source.paths.items():
        if tree_of(module) == "addons" and unit_of(module) in sys.stdlib_module_names:
            yield f"{path.as_posix()}:1: {unit_of(module)!r} is a module of the standard library"


Rule = Callable[[SourceTree], Iterator[str]]
RULES: dict[str, Rule] = {
    "translate rows": partial(row_violations, "translate"),
    "addons rows": partial(row_violations, "addons"),
    "command line rows": partial(row_violations, CLI),
    "command line imports": command_line_violations,
    "no cycles": cycle_violations,
    "translate's public names": translate_violations,
    "packages' public names": package_violations,
    "translate is pure": purity_violations,
    "absolute imports": relative_violations,
    "sorted exports": export_violations,
    "no library names": library_name_violations,
}
