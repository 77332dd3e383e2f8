"""The names that the source hands to a function, found by reading it: of events, of acts.

A name is followed from where it is written: through conditions, variables, tables of a module, f-strings, wrappers that hand
their parameter on, and value objects whose first field it is. A call that names what cannot be followed is an error.
"""

import ast
import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mic_mail

ROOT = Path(mic_mail.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Place:
    """A call, and where it stands."""

    path: Path
    module: ast.Module
    within: tuple[Function, ...]
    call: ast.Call

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.call.lineno} {ast.unparse(self.call)[:80]}"


class Unresolved(Exception):
    """A name that is made in a way which this reader does not follow."""


class Source:
    """All modules of the program."""

    def __init__(self) -> None:
        self.calls: list[Place] = []
        self._by_name: dict[str | None, list[Place]] = {}
        self._followed: dict[tuple[Path, int, str], set[str]] = {}
        self._constants: dict[str, set[str]] = {}
        self._fields: dict[str, list[str]] = {}
        for path in sorted(ROOT.rglob("*.py")):
            module = ast.parse(path.read_text())
            self.calls += [Place(path, module, within, call) for within, call in _calls(module, ())]
            for node in module.body:
                match node:
                    case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                        self._constants.setdefault(name, set()).add(text)
                    case ast.ClassDef(name=name, body=body):
                        fields = [ast.unparse(each.target) for each in body if isinstance(each, ast.AnnAssign)]
                        self._fields.setdefault(name, fields)
        for place in self.calls:
            self._by_name.setdefault(_name(place.call.func), []).append(place)

    def called(self, name: str) -> list[Place]:
        """Each call of a function, method or class of this name."""
        return self._by_name.get(name, [])

    def names(self, expression: ast.expr, place: Place) -> set[str]:
        """Every string that `expression` can be there."""
        match expression:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.IfExp():
                return self.names(expression.body, place) | self.names(expression.orelse, place)
            case ast.JoinedStr():
                return self._joined(expression, place)
            case ast.Name(id=name):
                return self._variable(name, place)
            case ast.Subscript(value=ast.Name(id=table)):
                return self._table(table, place)
            case ast.Attribute(value=ast.Name(id=holder), attr=field):
                return self._field(holder, field, place)
        raise Unresolved(f"{place}: {ast.unparse(expression)}")

    def _joined(self, expression: ast.JoinedStr, place: Place) -> set[str]:
        found = {""}
        for part in expression.values:
            ends = self.names(part.value if isinstance(part, ast.FormattedValue) else part, place)
            found = {start + end for start in found for end in ends}
        return found

    def _variable(self, name: str, place: Place) -> set[str]:
        for function in reversed(place.within):
            values = [
                node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and any(isinstance(each, ast.Name) and each.id == name for each in node.targets)
            ]
            if values:
                return set().union(*(self.names(value, place) for value in values))
            if name in (parameters := [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]):
                return self._handed_on(function, parameters, name, place)
        if len(texts := self._constants.get(name, set())) == 1:  # of this module, or imported
            return texts
        raise Unresolved(f"{place}: {name}")

    def _handed_on(self, function: Function, parameters: list[str], name: str, place: Place) -> set[str]:
        """What callers give for a parameter; of a decorated or bound one without its first."""
        key = (place.path, function.lineno, name)
        if key in self._followed:
            return self._followed[key]
        found = self._followed[key] = set()
        for caller in self.called(function.name):
            skipped = 1 if parameters[0] == "self" else 0
            if not _fits(function, skipped, caller.call) or (caller.path != place.path and function.name.startswith("_")):
                continue
            at = parameters.index(name) - skipped
            given = [each.value for each in caller.call.keywords if each.arg == name]
            if 0 <= at < len(caller.call.args):
                given.append(caller.call.args[at])
            for value in given:
                with contextlib.suppress(Unresolved):  # another function of that name, which is handed no name
                    found.update(self.names(value, caller))
        return found

    def _table(self, table: str, place: Place) -> set[str]:
        for node in place.module.body:
            target = (
                node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
            )
            if isinstance(target, ast.Name) and target.id == table and isinstance(node.value, ast.Dict):
                return set().union(*(self.names(value, place) for value in node.value.values))
        raise Unresolved(f"{place}: {table}")

    def first_fields(self, made: str, at: int = 0) -> set[str]:
        """What instances of a class of the program begin with, or have at another place; one without a text there is another
        class of this name."""
        found: set[str] = set()
        for each in self.called(made):
            if len(each.call.args) > at:
                with contextlib.suppress(Unresolved):  # another class of that name
                    found |= self.names(each.call.args[at], each)
        return found

    def _field(self, holder: str, field: str, place: Place) -> set[str]:
        """A field of a value object, by the class that the parameter is annotated with."""
        for function in reversed(place.within):
            for argument in function.args.args:
                if argument.arg == holder and argument.annotation is not None:
                    made = _name(argument.annotation) or ""
                    fields = self._fields.get(made, [])
                    return self.first_fields(made, fields.index(field) if field in fields else 0)
        raise Unresolved(f"{place}: {holder}")


@cache
def program() -> Source:
    """The source, read once, and by a test that wants it: it takes seconds."""
    return Source()


def _fits(function: Function, skipped: int, call: ast.Call) -> bool:
    """Whether a call can be one of this function, and not of another one with its name."""
    if any(isinstance(each, ast.Starred) for each in call.args):
        return True
    most = len(function.args.args) - skipped
    needed = most - len(function.args.defaults)
    keywords = {each.arg for each in call.keywords}
    known = {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}
    by_name = sum(each.arg in keywords for each in function.args.args)
    if None in keywords:
        needed = 0
    return needed <= len(call.args) + by_name <= most and (function.args.kwarg is not None or keywords - {None} <= known)


def _calls(node: ast.AST, within: tuple[Function, ...]) -> Iterator[tuple[tuple[Function, ...], ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inside = (*within, child) if isinstance(child, Function) else within
        if isinstance(child, ast.Call):
            yield within, child
        yield from _calls(child, inside)


def _name(node: ast.AST) -> str | None:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript():
            return _name(node.value)
    return None


@cache
def written_events() -> set[str]:
    """Every event that the program can tell the mail log."""
    source = program()
    found = source.first_fields("LogEvent")  # of sessions, by way of their shell
    for place in source.called("_log_bug"):  # the sessions' common way to tell of a defect, under a name for each protocol
        found |= source.names(place.call.args[0], place)
    for place in source.called("event"):
        receiver = ast.unparse(place.call.func.value) if isinstance(place.call.func, ast.Attribute) else ""
        if place.call.args and receiver != "ctx":  # no wait of a session for its next one, nor what an origin tells of itself
            found |= source.names(place.call.args[0], place)
    return found


def _recorded(source: Source) -> Iterator[Place]:
    """Every call that puts an act on record, but those of commands that declare their act."""
    for place in source.called("audited"):
        if isinstance(place.call.func, ast.Name) and "self.origin" not in ast.unparse(place.call):
            yield place
    for place in source.called("record"):
        if ast.unparse(place.call.func).endswith("audit.record"):
            yield place


def event_codes(members: Collection[str]) -> dict[str, set[str]]:
    """The words of the source that each of these members of events can hold, as far as they can be followed."""
    source = program()
    return _codes(source, source.called("event"), members)


def act_codes(members: Collection[str]) -> dict[str, set[str]]:
    """The same of acts."""
    source = program()
    return _codes(source, _recording(source), members)


def act_members() -> set[str]:
    """What acts hold beside who, what and to whom."""
    own = {"right", "concerns", "actor", "act", "subject", "trace"}
    return {each.arg for place in _recording(program()) for each in place.call.keywords if each.arg is not None} - own


def _recording(source: Source) -> Iterator[Place]:
    """Every call whose keywords are on record with an act."""
    yield from _recorded(source)
    yield from source.called("recorded")
    yield from source.called("on_mailbox")


def _codes(source: Source, places: Iterable[Place], members: Collection[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {member: set() for member in members}
    for place in places:
        for each in place.call.keywords:
            if each.arg in found:
                with contextlib.suppress(Unresolved):  # a value that somebody else has chosen
                    found[each.arg] |= source.names(each.value, place)
    return found


@cache
def recorded_acts() -> set[str]:
    """Every act that the program can put on record."""
    source, found = program(), set[str]()
    for place in (*source.called("requires"), *source.called("recorded")):
        for keyword in place.call.keywords:
            if keyword.arg == "act":
                found |= source.names(keyword.value, place)
    for place in _recorded(source):
        (act,) = [each.value for each in place.call.keywords if each.arg == "act"] or [place.call.args[1]]
        found |= source.names(act, place)
    return found
