"""Our classes and the public members that each introduces; which names several classes share."""

import ast
import builtins
import inspect
import pkgutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from pydantic import BaseModel

from tests.architecture.sources import FUNCTIONS, RELAY, TREES, Source, is_hook

INNER_SCOPES = (
    *(*FUNCTIONS, ast.ClassDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
PROPERTIES = {"property", "cached_property", "functools.cached_property"}


class Member(NamedTuple):
    """What one class binds to a public name."""

    name: str
    arity: int | None  # how many parameters a method has; None for data, and a property is data
    annotation: str = ""  # of data; empty if the source does not say it
    is_field: bool = False  # annotated in the body of the class

    @property
    def is_method(self) -> bool:
        return self.arity is not None


@dataclass(frozen=True)
class SourceClass:
    """One class: its dotted name with the module, and the public names that its body binds."""

    name: str
    module: str
    place: str
    bases: tuple[str, ...]
    members: dict[str, Member]

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def is_private_nested(self) -> bool:
        nested = self.name.rpartition(".")[0] != self.module
        return nested and self.short_name.startswith("_")


def read_classes(sources: Iterable[Source]) -> list[SourceClass]:
    return [
        item
        for source in sources
        if source.tree in TREES
        for item in nested_classes(source, source.syntax, source.module)
    ]


def nested_classes(source: Source, parent: ast.AST, prefix: str) -> Iterator[SourceClass]:
    for node in ast.iter_child_nodes(parent):
        name = prefix
        if isinstance(node, ast.ClassDef):
            name = f"{prefix}.{node.name}"
            bases = tuple(ast.unparse(strip_subscript(base)) for base in node.bases)
            members = class_members(source, node)
            yield SourceClass(name, source.module, source.place(node.lineno), bases, members)
        elif isinstance(node, FUNCTIONS):
            name = f"{prefix}.{node.name}"
        if not isinstance(node, ast.expr):  # which defines no class
            yield from nested_classes(source, node, name)


def strip_subscript(base: ast.expr) -> ast.expr:
    return base.value if isinstance(base, ast.Subscript) else base


def class_members(source: Source, owner: ast.ClassDef) -> dict[str, Member]:
    """Public name → its first binding that says what it is."""
    members: dict[str, Member] = {}
    for member in bound_members(source, owner):
        earlier = members.get(member.name)
        if not member.name.startswith("_") and (earlier is None or is_vague(earlier)):
            members[member.name] = member
    return members


def is_vague(member: Member) -> bool:
    return not member.is_method and not member.annotation


def bound_members(source: Source, owner: ast.ClassDef) -> Iterator[Member]:
    """Methods, properties and fields; hooks are left out, as mitmproxy defines what they mean."""
    for node in owner.body:
        if isinstance(node, FUNCTIONS):
            if not (source.tree == "addons" and is_hook(node)):
                yield function_member(node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield data_member(node.target.id, ast.unparse(node.annotation), is_field=True)
        elif not (source.tree == "addons" and is_hook(node)):
            yield from (Member(name, None) for name in stored_names(node))
    for node in owner.body:
        if isinstance(node, FUNCTIONS):
            yield from self_attributes(node)


def function_member(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Member:
    if PROPERTIES & {ast.unparse(decorator) for decorator in node.decorator_list}:
        return Member(node.name, None, ast.unparse(node.returns) if node.returns else "")
    return Member(node.name, len(all_arguments(node)))


def data_member(name: str, annotation: str, is_field: bool = False) -> Member:
    """Data, or, as it is called in the same way as a method, a callable."""
    arity = None
    if annotation.startswith("Callable[["):
        match ast.parse(annotation, mode="eval").body:
            case ast.Subscript(slice=ast.Tuple(elts=[ast.List(elts=types), _])):
                arity = 1 + len(types)  # a method has `self` as well
    return Member(name, arity, annotation, is_field)


def all_arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    arguments = node.args
    rest = [arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [*arguments.posonlyargs, *arguments.args, *filter(None, rest)]


def stored_names(node: ast.AST) -> Iterator[str]:
    """What a statement of a class body assigns there, comprehensions and the like left out."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif not isinstance(node, INNER_SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from stored_names(child)


def self_attributes(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Member]:
    """What a method binds on its object: with its annotation, or with that of the parameter that
    is assigned."""
    arguments = all_arguments(method)
    if not arguments:
        return
    parameters = {item.arg: ast.unparse(item.annotation) for item in arguments if item.annotation}
    for node in ast.walk(method):
        for target, annotation in bound_targets(node, parameters):
            if name := own_attribute(target, arguments[0].arg):
                yield data_member(name, annotation)


def bound_targets(node: ast.AST, parameters: dict[str, str]) -> Iterator[tuple[ast.AST, str]]:
    """Each target that a node may bind, with the annotation as far as the node tells it."""
    match node:
        case ast.AnnAssign():
            yield node.target, ast.unparse(node.annotation)
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            for target, value in zip(targets, values, strict=False):
                yield target, value_annotation(value, parameters)
        case ast.Assign():
            for target in node.targets:
                yield target, value_annotation(node.value, parameters)
        case _:  # such as `for self.name in` and `self.name += 1`
            for child in ast.iter_child_nodes(node):
                yield child, ""


def own_attribute(target: ast.AST, owner: str) -> str | None:
    match target:
        case ast.Attribute(value=ast.Name(id=base), attr=name, ctx=ast.Store()) if base == owner:
            return name
    return None


def value_annotation(value: ast.expr, parameters: dict[str, str]) -> str:
    match value:
        case ast.Name(id=name):
            return parameters.get(name, "")
        case ast.Constant(value=bool() | int() | float() | str() | bytes() as constant):
            return type(constant).__name__
        case ast.Call(func=ast.Name(id=name)) if name[:1].isupper():
            return name
    return ""


# Names of several classes


def duplicate_classes(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Names that two or more classes of the trees have → where they are defined."""
    places: dict[str, list[str]] = defaultdict(list)
    for item in read_classes(sources):
        if not item.is_private_nested:
            places[item.short_name].append(item.place)
    return {name: sorted(lines) for name, lines in sorted(places.items()) if len(lines) > 1}


@dataclass(frozen=True)
class SharedName:
    """A public name that two or more classes introduce: dotted name of the class → its member."""

    name: str
    owners: dict[str, Member]

    def __str__(self) -> str:
        owners = (
            f"{owner}{'()' if member.is_method else f': {member.annotation or "?"}'}"
            for owner, member in sorted(self.owners.items())
        )
        return f"{self.name}: {', '.join(owners)}"

    @property
    def is_mixed(self) -> bool:
        """A method here and data there: hardly one meaning."""
        return len({member.is_method for member in self.owners.values()}) > 1

    @property
    def is_same_data(self) -> bool:
        """Data with one annotation everywhere."""
        annotations = {member.annotation for member in self.owners.values()}
        return not self.is_method_somewhere and len(annotations) == 1 and "" not in annotations

    @property
    def is_method_somewhere(self) -> bool:
        return any(member.is_method for member in self.owners.values())


def shared_members(sources: Iterable[Source]) -> dict[str, SharedName]:
    """The names that two or more classes of the relay introduce.

    A class introduces what it binds itself, unless a base of it or a Protocol that it implements
    has that name, and unless it is a field of a pydantic model: those are spelled as on the wire.
    """
    hierarchy = Hierarchy([source for source in sources if source.tree in RELAY])
    owners: dict[str, dict[str, Member]] = defaultdict(dict)
    for item in hierarchy.classes.values():
        for member in hierarchy.introduced_members(item):
            owners[member.name][item.name] = member
    return {
        name: SharedName(name, owners[name]) for name in sorted(owners) if len(owners[name]) > 1
    }


class Hierarchy:
    """Finds the bases of classes through the imports of their modules."""

    def __init__(self, sources: list[Source]) -> None:
        self.classes = {item.name: item for item in read_classes(sources)}
        self.imports = {source.module: imported_names(source) for source in sources}
        self.protocols = [item for item in self.classes.values() if self.is_protocol(item)]

    def introduced_members(self, item: SourceClass) -> Iterator[Member]:
        inherited = self.inherited_names(item)
        is_model = any(issubclass(base, BaseModel) for base in self.library_bases(item))
        for member in item.members.values():
            if member.name not in inherited and not (is_model and member.is_field):
                yield member

    def inherited_names(self, item: SourceClass) -> set[str]:
        parents = [*self.our_bases(item), *self.implemented_protocols(item)]
        names = {name for base in self.library_bases(item) for name in library_names(base)}
        return names.union(*(self.member_names(parent) for parent in parents))

    def member_names(self, item: SourceClass) -> set[str]:
        return item.members.keys() | self.inherited_names(item)

    def our_bases(self, item: SourceClass) -> list[SourceClass]:
        names = (self.full_name(item.module, base) for base in item.bases)
        return [self.classes[name] for name in names if name in self.classes]

    def library_bases(self, item: SourceClass) -> Iterator[type]:
        """Those of its own and those of its bases of ours."""
        for base in item.bases:
            full_name = self.full_name(item.module, base)
            if ours := self.classes.get(full_name):
                yield from self.library_bases(ours)
            elif full_name.partition(".")[0] not in RELAY:
                yield library_class(full_name)

    def is_protocol(self, item: SourceClass) -> bool:
        return "typing.Protocol" in {self.full_name(item.module, base) for base in item.bases}

    def implemented_protocols(self, item: SourceClass) -> list[SourceClass]:
        """The Protocols of ours whose members the class has, with as many parameters.

        A Protocol of one member is too little to be recognized by; whoever implements it
        otherwise says so by inheriting from it."""
        if self.is_protocol(item):
            return []
        members = self.all_members(item)
        return [
            protocol
            for protocol in self.protocols
            if len(required := self.all_members(protocol)) > 1
            and all(
                name in members and members[name].arity == member.arity
                for name, member in required.items()
            )
        ]

    def all_members(self, item: SourceClass) -> dict[str, Member]:
        members: dict[str, Member] = {}
        for base in self.our_bases(item):
            members |= self.all_members(base)
        return members | item.members

    def full_name(self, module: str, name: str) -> str:
        """Where a name of a module is defined, through however many modules export it again."""
        first, _, rest = name.partition(".")
        if f"{module}.{first}" in self.classes:
            return f"{module}.{name}"
        origin = self.imports[module].get(first)
        if origin is None:
            return f"builtins.{name}" if hasattr(builtins, first) else f"{module}.{name}"
        full_name = f"{origin}.{rest}" if rest else origin
        owner, _, attribute = full_name.rpartition(".")
        if owner in self.imports and full_name not in self.classes:
            return self.full_name(owner, attribute)
        return full_name


def imported_names(source: Source) -> dict[str, str]:
    """Local name → dotted name, for all that a file imports (absolutely)."""
    names = {}
    for node in source.nodes:
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    first = alias.name.partition(".")[0]
                    names[alias.asname or first] = alias.name if alias.asname else first
            case ast.ImportFrom(module=str(module), names=aliases):
                for alias in aliases:
                    names[alias.asname or alias.name] = f"{module}.{alias.name}"
    return names


@cache
def library_class(full_name: str) -> type:
    base = pkgutil.resolve_name(full_name)
    return base if isinstance(base, type) else object


@cache
def library_names(base: type) -> frozenset[str]:
    """All attributes of a library's class, with those that are annotated only."""
    annotated = (inspect.get_annotations(parent) for parent in base.__mro__)
    return frozenset(dir(base)).union(*annotated)
