"""Small changes to the code of a reference answer, one at a time: a good grader rejects
what they make of it.

Not changed: docstrings, annotations, texts of messages (in f-strings and in what is
raised), `__all__`, and what stands under `if __name__ == "__main__":`; no test of
behaviour could tell, or should. Nor the seconds of a timeout, for which a test would
have to wait, and what the stub gives word for word, because no learner writes it.
"""

import ast
import copy
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import NamedTuple

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class Mutant(NamedTuple):
    """A changed answer. name: where the change is and what it is; it stays the same
    when other lines move.
    """

    name: str
    code: str


# A statement, as _where and ast.dump show it.
Statement = tuple[str, str]


def mutants(path: Path, stub: Path | None = None) -> list[Mutant]:
    """Return all mutants of a script, in the order of its lines.

    stub: the script from which it was made.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    given: set[Statement] = set()
    if stub:
        for parents, node in _walk(ast.parse(stub.read_text(encoding="utf-8")), ()):
            if isinstance(node, ast.stmt):
                given.add((_where(parents), ast.dump(node)))
    found: dict[str, Mutant] = {}
    for place, (parents, node) in enumerate(_walk(tree, (), given)):
        for number, _ in enumerate(_changes(node, parents)):
            changed = copy.deepcopy(tree)
            same_parents, same_node = list(_walk(changed, (), given))[place]
            before = _headline(_statement(same_parents, same_node))
            _changes(same_node, same_parents)[number]()
            after = _headline(_statement(same_parents, same_node))
            name = (
                f"{_where(parents)}: {before} => {after}"
                if after != before
                else f"{_where(parents)}: no {before}"
            )
            count = sum(one.startswith(name) for one in found)
            name += f" ({count + 1})" if name in found else ""
            found[name] = Mutant(name, ast.unparse(ast.fix_missing_locations(changed)))
    return list(found.values())


def _walk(
    node: ast.AST, parents: tuple[ast.AST, ...], given: Set[Statement] = frozenset()
) -> Iterator[tuple[tuple[ast.AST, ...], ast.AST]]:
    """Yield the nodes whose change could be seen, each with those around it, outermost
    first.
    """
    if isinstance(node, ast.stmt) and (_where(parents), ast.dump(node)) in given:
        return
    yield parents, node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_left_out(child, node):
                yield from _walk(child, (*parents, node), given)


def _is_left_out(node: ast.AST, parent: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
        return True
    if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node.targets[0]):
        return True
    if isinstance(
        node, ast.Import | ast.ImportFrom | ast.JoinedStr | ast.FormattedValue
    ):
        return True
    if isinstance(parent, ast.keyword | ast.Assign) and isinstance(node, ast.Constant):
        name = parent.arg if isinstance(parent, ast.keyword) else parent.targets[0]
        if "timeout" in (name if isinstance(name, str) else ast.unparse(name)).lower():
            return True
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return (
        is_text
        and isinstance(parent, ast.Call)
        and ast.unparse(parent.func).endswith(("Error", "Warning", "warn"))
    )


def _changes(node: ast.AST, parents: tuple[ast.AST, ...]) -> list[Callable[[], None]]:
    """Return what can be changed about a node: functions that do it."""
    changes: list[Callable[[], None]] = []

    def set_to(
        target: ast.AST, field: str, value: object, place: int | None = None
    ) -> Callable[[], None]:
        def change() -> None:
            if place is None:
                setattr(target, field, value)
            else:
                getattr(target, field)[place] = value

        return change

    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if other := _SWAPS.get(type(operator)):
                changes.append(set_to(node, "ops", other(), place))
    elif isinstance(node, ast.BoolOp | ast.BinOp | ast.AugAssign):
        if other := _SWAPS.get(type(node.op)):
            changes.append(set_to(node, "op", other()))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        changes.append(_replace(node, node.operand, parents))
    elif isinstance(node, ast.Constant):
        for value in _other_constants(node.value):
            changes.append(set_to(node, "value", value))
    elif isinstance(node, ast.Call):
        for place, _ in enumerate(node.keywords):
            changes.append(
                set_to(
                    node,
                    "keywords",
                    [one for one in node.keywords if one is not node.keywords[place]],
                )
            )
    elif isinstance(node, ast.Return) and node.value and not _is_none(node.value):
        changes.append(set_to(node, "value", ast.Constant(None)))
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        changes += [
            set_to(node, "test", ast.Constant(True)),
            set_to(node, "test", ast.Constant(False)),
        ]
    elif isinstance(node, ast.Break):
        changes.append(_replace(node, ast.Continue(), parents))
    elif isinstance(node, ast.Continue):
        changes.append(_replace(node, ast.Break(), parents))
    if isinstance(node, ast.Expr | ast.Raise | ast.AugAssign | ast.Delete | ast.Assign):
        changes.append(_replace(node, ast.Pass(), parents))
    if (
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.decorator_list
    ):
        changes.append(set_to(node, "decorator_list", node.decorator_list[1:]))
    return [
        change
        for change in changes
        if not (isinstance(node, ast.While) and _is_true(node.test))
    ] or (
        [set_to(node, "test", ast.Constant(False))]
        if isinstance(node, ast.While)
        else []
    )


def _replace(
    node: ast.AST, other: ast.AST, parents: tuple[ast.AST, ...]
) -> Callable[[], None]:
    def change() -> None:
        for field, value in ast.iter_fields(parents[-1]):
            if value is node:
                setattr(parents[-1], field, other)
            elif isinstance(value, list) and any(one is node for one in value):
                value[[one is node for one in value].index(True)] = other

    return change


def _other_constants(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    if isinstance(value, str):
        return [value + "x"]
    if isinstance(value, bytes):
        return [value + b"x"]
    return []


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_true(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _where(parents: tuple[ast.AST, ...]) -> str:
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return (
        ".".join(node.name for node in parents if isinstance(node, named)) or "module"
    )


def _statement(parents: tuple[ast.AST, ...], node: ast.AST) -> ast.AST:
    """Return the statement that a node belongs to, or, for a statement, the one around
    it that shows its change.
    """
    return next(
        (one for one in (node, *reversed(parents)) if isinstance(one, ast.stmt)), node
    )


def _headline(node: ast.AST) -> str:
    """Return the code of a statement without its body, in one line."""
    bare = copy.copy(node)
    for field in ("body", "orelse", "finalbody", "handlers"):
        if getattr(bare, field, None) and isinstance(getattr(bare, field), list):
            setattr(bare, field, [ast.Pass()] if field == "body" else [])
    # Since Python 3.12, an f-string in single quotes can hold such quotes.
    text = ast.unparse(ast.fix_missing_locations(bare)).replace('"', "'")
    return " ".join(text.removesuffix("pass").split()).removesuffix(":")
