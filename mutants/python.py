"""Defects of Python source: the operators, on its syntax tree. Pure.

What cannot change behaviour is left out: annotations, docstrings, `__slots__`, `__all__`, `if TYPE_CHECKING:`, logging,
the texts of errors, and the bodies of Protocols.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from mutants.defect import Defect, placed

COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: (r"\bis\b", "is not"),
    ast.IsNot: (r"\bis\s+not\b", "is"),
    ast.In: (r"\bin\b", "not in"),
    ast.NotIn: (r"\bnot\s+in\b", "in"),
}
ARITHMETIC = {ast.Add: (r"\+", "-"), ast.Sub: ("-", "+")}
INSTEAD = {"min": "max", "max": "min", "any": "all", "all": "any"}
LOGGING = re.compile(r"^_?(log|logger|logging|warnings|LOG)\b")
UNSEEN = ("__slots__", "__all__", "__match_args__", "__hash__")


def defects(file: str, text: str) -> Iterator[Defect]:
    """Every defect that the operators find in a module."""
    yield from _Finder(file, text).all()


class _Finder:
    def __init__(self, file: str, text: str) -> None:
        self._file, self._text = file, text
        self._lines = [0]
        for line in text.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._source = text.splitlines()

    def all(self) -> Iterator[Defect]:
        yield from self._within(ast.parse(self._text))

    def _within(self, node: ast.AST) -> Iterator[Defect]:
        """Those of a node and of the nodes in it."""
        if isinstance(node, ast.expr):
            yield from self._of_expression(node)
        elif isinstance(node, ast.stmt):
            yield from self._of_statement(node)
        elif isinstance(node, ast.ExceptHandler):
            yield from self._of_handler(node)
        for child in seen_children(node):
            yield from self._within(child)

    # ---- places ----

    def _offset(self, line: int, column: int) -> int:
        characters = len(self._source[line - 1].encode()[:column].decode())
        return self._lines[line - 1] + characters

    def _span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _source_of(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._span(node)
        return self._text[start:end]

    def _replaced(self, kind: str, node: ast.expr | ast.stmt, new: str) -> Defect:
        return placed(self._file, kind, self._text, *self._span(node), new)

    def _between(self, kind: str, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Defect]:
        """Replace the operator between two operands."""
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.search(old, self._text[start:end])
        if found is not None and "#" not in self._text[start:end]:
            yield placed(self._file, kind, self._text, start + found.start(), start + found.end(), new)

    # ---- expressions ----

    def _of_expression(self, node: ast.expr) -> Iterator[Defect]:
        match node:
            case ast.Compare(ops=[op], comparators=[right]):
                old, new = COMPARISONS[type(op)]
                yield from self._between("comparison", node.left, right, old, new)
            case ast.BinOp(op=ast.Add() | ast.Sub()) if not _is_text(node.left) and not _is_text(node.right):
                old, new = ARITHMETIC[type(node.op)]
                yield from self._between("plus or minus", node.left, node.right, old, new)
            case ast.BoolOp(values=values):
                yield from self._of_conditions(node, values)
            case ast.UnaryOp(op=ast.Not()):
                yield self._replaced("not", node, f"({self._source_of(node.operand)})")
            case ast.IfExp():
                yield self._replaced("not", node.test, f"not ({self._source_of(node.test)})")
            case ast.Constant(value=bool()):
                yield self._replaced("constant", node, str(not node.value))
            case ast.Constant(value=int() | float() as value):
                yield self._replaced("constant", node, f"{value + 1}")
                yield self._replaced("constant", node, f"({value - 1})")
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                yield from self._of_elements(elements)
            case ast.Call():
                yield from self._of_call(node)
            case ast.Subscript(slice=ast.Constant(value=0)):
                yield self._replaced("first or last", node.slice, "-1")
            case ast.Subscript(slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))):
                yield self._replaced("first or last", node.slice, "0")

    def _of_conditions(self, node: ast.BoolOp, values: Sequence[ast.expr]) -> Iterator[Defect]:
        old, new = (r"\band\b", "or") if isinstance(node.op, ast.And) else (r"\bor\b", "and")
        yield from self._between("and or or", values[0], values[1], old, new)
        for value in values:
            yield self._replaced("removed condition", value, str(isinstance(node.op, ast.And)))

    def _of_elements(self, elements: Sequence[ast.expr]) -> Iterator[Defect]:
        if len(elements) < 2 or not isinstance(getattr(elements[0], "ctx", ast.Load()), ast.Load):
            return
        for left, right in pairwise(elements):
            start, end = self._span(left)[1], self._span(right)[1]
            if "(" not in self._text[start : self._span(right)[0]]:
                yield placed(self._file, "dropped element", self._text, start, end, "," if len(elements) == 2 else "")

    def _of_call(self, node: ast.Call) -> Iterator[Defect]:
        if isinstance(node.func, ast.Name) and node.func.id in INSTEAD:
            yield self._replaced("min or max, any or all", node.func, INSTEAD[node.func.id])
        if isinstance(node.func, ast.Name) and node.func.id == "reversed":
            yield self._replaced("direction", node.func, "list")
        if isinstance(node.func, ast.Name) and node.func.id == "sorted" and not _given(node, "reverse"):
            end = self._span(node)[1] - 1
            if self._text[:end].rstrip()[-1] != ",":
                yield placed(self._file, "direction", self._text, end, end + 1, ", reverse=True)")
        plain = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
        if len(plain) == len(node.args) >= 2 and not _is_check_of_class(node):
            for first, second in pairwise(plain):
                yield from self._swapped(first, second)

    def _swapped(self, first: ast.expr, second: ast.expr) -> Iterator[Defect]:
        (start, between), (until, end) = self._span(first), self._span(second)
        one, other = self._text[start:between], self._text[until:end]
        if one != other and "\n" not in self._text[start:end]:
            new = other + self._text[between:until] + one
            yield placed(self._file, "swapped arguments", self._text, start, end, new)

    # ---- statements ----

    def _of_statement(self, node: ast.stmt) -> Iterator[Defect]:
        match node:
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete():
                yield self._replaced("removed statement", node, "pass")
                yield self._replaced("early return", node, "return")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield self._replaced("removed statement", node, "pass")
            case ast.Raise():
                yield self._replaced("removed statement", node, "pass")
            case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                yield self._replaced("early return", node, "return None")
            case ast.If() | ast.While() if not isinstance(node.test, ast.Constant) and not _is_for_types(node.test):
                yield self._replaced("not", node.test, f"not ({self._source_of(node.test)})")
            case ast.Break():
                yield self._replaced("break or continue", node, "continue")
            case ast.Continue():
                yield self._replaced("break or continue", node, "break")

    def _of_handler(self, node: ast.ExceptHandler) -> Iterator[Defect]:
        if node.type is not None:
            yield self._replaced("exception class", node.type, "ZeroDivisionError")


def seen_children(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes in a node that can change behaviour."""
    if isinstance(node, ast.If) and _is_for_types(node.test):
        yield from node.orelse
        return
    if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
        return
    if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign) and _is_unseen(node):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases") or _is_error_text(node, name):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_logging(child):
                yield child


def _is_for_types(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in ast.unparse(test)


def _is_unseen(node: ast.Expr | ast.Assign | ast.AnnAssign) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    names = [ast.unparse(target) for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
    is_type = isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and "TypeVar" in ast.unparse(node.value)
    return is_type or any(name in UNSEEN for name in names)


def _is_error_text(node: ast.AST, field: str) -> bool:
    """Whether this is part of a text, or what an error says: no test should compare that word by word."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Raise) and field in ("exc", "cause"))


def _is_logging(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and LOGGING.match(ast.unparse(node)) is not None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr | ast.List) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _given(node: ast.Call, name: str) -> bool:
    return any(keyword.arg == name for keyword in node.keywords)


def _is_check_of_class(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in (
        "isinstance",
        "issubclass",
        "getattr",
        "cast",
        "TypeVar",
    )
