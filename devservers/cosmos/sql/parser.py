"""Queries, parsed by descent: one method for each level of the grammar."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import count
from typing import Any

from devservers.cosmos.keys import UNDEFINED
from devservers.cosmos.sql.nodes import (
    ArrayOf,
    Call,
    Literal,
    Member,
    Name,
    Node,
    ObjectOf,
    Operation,
    Parameter,
    Query,
    Source,
    Subquery,
)
from devservers.cosmos.sql.tokens import Token, syntax_error, tokens, unquoted

CONSTANTS: dict[str, Any] = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}
RESERVED = {
    "SELECT", "FROM", "WHERE", "ORDER", "GROUP", "BY", "JOIN", "IN", "AS", "OFFSET", "LIMIT", "AND", "OR", "NOT",
    "BETWEEN", "LIKE", "ESCAPE", "ASC", "DESC", "TOP", "DISTINCT", "VALUE", "EXISTS",
}  # fmt: skip
LEFT_TO_RIGHT = (
    ("|",),
    ("^",),
    ("&",),
    ("=", "!=", "<>", "<", ">", "<=", ">="),
    ("<<", ">>", ">>>"),
    ("||",),
    ("+", "-"),
    ("*", "/", "%"),
)  # from the loosest to the tightest
COMPARISONS = 3  # where in them IN, BETWEEN and LIKE stand as well


@lru_cache(maxsize=1_024)
def parsed(text: str) -> Query:
    """Raises: Refused."""
    parser = _Parser(text)
    query = parser.query()
    parser.end()
    return query


@lru_cache(maxsize=256)
def parsed_condition(text: str) -> Query:
    """`FROM c WHERE …`, the condition of a patch. Raises: Refused."""
    return parsed(f"SELECT VALUE true {text}")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._at = text, tokens(text), 0

    # ---- moving on ----------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    @property
    def _place(self) -> int:
        return self._next.start

    @property
    def _done(self) -> int:
        """Where the last token ended."""
        return self._tokens[self._at - 1].end

    def _sees(self, *words: str) -> bool:
        end = len(self._tokens) - 1
        return all(self._tokens[min(at, end)].word == word for at, word in enumerate(words, self._at))

    def _takes(self, *words: str) -> bool:
        if not self._sees(*words):
            return False
        self._at += len(words)
        return True

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            raise syntax_error(self._text, self._place, word)

    def _take(self, kind: str) -> Token:
        token = self._next
        if token.kind != kind:
            raise syntax_error(self._text, self._place, f"a {kind}")
        self._at += 1
        return token

    def end(self) -> None:
        """Raises: Refused if anything follows."""
        if self._next.kind != "end":
            raise syntax_error(self._text, self._place)

    # ---- clauses ----------------------------------------

    def query(self) -> Query:
        """SELECT … with all that may follow."""
        spans: dict[str, tuple[int, int]] = {}

        def spanned(part: str, parse: Callable[[], Any]) -> Any:
            start = self._place
            value = parse()
            spans[part] = (start, self._done)
            return value

        def each(part: str, parse: Callable[[], Any]) -> Callable[[], Any]:
            numbers = count()
            return lambda: spanned(f"{part}{next(numbers)}", parse)

        self._expect("SELECT")
        distinct = self._takes("DISTINCT")
        top = self._atom() if self._takes("TOP") else None
        value = self._sees("VALUE") and self._tokens[self._at + 1].word != "," and self._takes("VALUE")
        fields = spanned("fields", lambda: self._fields(each("field", self.expression)))
        sources = spanned("from", self._sources) if self._takes("FROM") else ()
        each_order = each("order", self.expression)
        where = spanned("where", self.expression) if self._takes("WHERE") else None
        group = tuple(self._several(self.expression)) if self._takes("GROUP", "BY") else ()
        order: list[tuple[Node, bool]] = []
        if self._takes("ORDER", "BY"):
            order = spanned("order", lambda: self._several(lambda: self._ordered(each_order)))
        offset = limit = None
        before = self._done
        if self._takes("OFFSET"):
            offset = self._atom()
            self._expect("LIMIT")
            limit = self._atom()
        spans["body"] = (0, before)
        found = (fields, value, distinct, top, sources, where, group, tuple(order), offset, limit)
        return Query(self._text, *found, spans)

    def _several(self, parse: Callable[[], Any]) -> list[Any]:
        found = [parse()]
        while self._takes(","):
            found.append(parse())
        return found

    def _fields(self, parse: Callable[[], Node]) -> tuple[tuple[Node, str | None], ...] | None:
        if self._takes("*"):
            return None
        return tuple(self._several(lambda: self._field(parse)))

    def _field(self, parse: Callable[[], Node]) -> tuple[Node, str | None]:
        node = parse()
        return node, self._alias() or (_last_name(node))

    def _alias(self) -> str | None:
        if self._takes("AS"):
            return self._name()
        if self._next.kind == "name" and self._next.word not in RESERVED:
            return self._name()
        return None

    def _name(self) -> str:
        if self._next.kind == "string":
            return unquoted(self._take("string").text)
        return self._take("name").text

    def _sources(self) -> tuple[Source, ...]:
        found = [self._source()]
        while self._takes("JOIN"):
            found.append(self._source())
        return tuple(found)

    def _source(self) -> Source:
        if self._next.kind == "name" and self._tokens[self._at + 1].word == "IN":
            alias = self._take("name").text
            self._expect("IN")
            return Source(alias, self._primary(), each=True)
        value = self._primary()
        alias = self._alias() or _last_name(value) or ""
        return Source(alias, value, each=False)

    def _ordered(self, parse: Callable[[], Node]) -> tuple[Node, bool]:
        node = parse()
        if self._takes("DESC"):
            return node, True
        self._takes("ASC")
        return node, False

    # ---- expressions ----------------------------------------

    def expression(self) -> Node:
        """Any expression."""
        condition = self._coalesced()
        if not self._takes("?"):
            return condition
        yes = self.expression()
        self._expect(":")
        return Operation("?", (condition, yes, self.expression()))

    def _coalesced(self) -> Node:
        node = self._either()
        while self._takes("??"):
            node = Operation("??", (node, self._either()))
        return node

    def _either(self) -> Node:
        return self._chain("OR", self._both)

    def _both(self) -> Node:
        return self._chain("AND", self._negated)

    def _chain(self, word: str, parse: Callable[[], Node]) -> Node:
        """Operands side by side, however many: clients make conditions with a thousand."""
        operands = [parse()]
        while self._takes(word):
            operands.append(parse())
        return Operation(word, tuple(operands)) if len(operands) > 1 else operands[0]

    def _negated(self) -> Node:
        if self._takes("NOT"):
            return Operation("NOT", (self._negated(),))
        return self._binary(0)

    def _binary(self, level: int) -> Node:
        if level == len(LEFT_TO_RIGHT):
            return self._signed()
        node = self._binary(level + 1)
        while True:
            sign = next((sign for sign in LEFT_TO_RIGHT[level] if self._takes(sign)), None)
            if sign is not None:
                node = Operation("!=" if sign == "<>" else sign, (node, self._binary(level + 1)))
            elif level != COMPARISONS or (compared := self._compared(node)) is None:
                return node
            else:
                node = compared

    def _compared(self, node: Node) -> Node | None:
        """IN, BETWEEN and LIKE, each after NOT or without it."""
        start, negated = self._at, self._takes("NOT")
        if self._takes("IN"):
            self._expect("(")
            found: Node = Operation("IN", (node, *self._several(self.expression)))
            self._expect(")")
        elif self._takes("BETWEEN"):
            low = self._binary(COMPARISONS + 1)
            self._expect("AND")
            found = Operation("BETWEEN", (node, low, self._binary(COMPARISONS + 1)))
        elif self._takes("LIKE"):
            pattern = self._binary(COMPARISONS + 1)
            escape = (self._atom(),) if self._takes("ESCAPE") else ()
            found = Operation("LIKE", (node, pattern, *escape))
        else:
            self._at = start
            return None
        return Operation("NOT", (found,)) if negated else found

    def _signed(self) -> Node:
        for sign in ("-", "+", "~"):
            if self._takes(sign):
                return Operation(f"{sign}1", (self._signed(),))
        return self._primary()

    def _primary(self) -> Node:
        node = self._atom()
        while True:
            if self._takes("."):
                node = Member(node, Literal(self._take("name").text))
            elif self._takes("["):
                node = Member(node, self.expression())
                self._expect("]")
            else:
                return node

    def _atom(self) -> Node:
        token = self._next
        if token.kind == "number":
            self._at += 1
            return Literal(_number(token.text))
        if token.kind == "string":
            self._at += 1
            return Literal(unquoted(token.text))
        if token.kind == "parameter":
            self._at += 1
            return Parameter(token.text)
        if token.kind == "name":
            return self._named()
        return self._bracketed()

    def _named(self) -> Node:
        token = self._take("name")
        if token.word in CONSTANTS:
            return Literal(CONSTANTS[token.word])
        if token.word in ("EXISTS", "ARRAY") and self._sees("(", "SELECT"):
            return self._subquery(token.word)
        if token.word == "UDF" and self._takes("."):
            return Call(f"UDF.{self._take('name').text}", self._arguments())
        if self._sees("("):
            return Call(token.word, self._arguments())
        if token.word in RESERVED and token.word != "VALUE":
            raise syntax_error(self._text, token.start, "an expression")
        return Name(token.text)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        if self._takes(")"):
            return ()
        found = tuple(self._several(self.expression))
        self._expect(")")
        return found

    def _subquery(self, kind: str) -> Node:
        self._expect("(")
        query = self.query()
        self._expect(")")
        return Subquery(kind, query)

    def _bracketed(self) -> Node:
        if self._sees("(", "SELECT"):
            return self._subquery("")
        if self._takes("("):
            node = self.expression()
            self._expect(")")
            return node
        if self._takes("["):
            items = () if self._sees("]") else tuple(self._several(self.expression))
            self._expect("]")
            return ArrayOf(items)
        if self._takes("{"):
            fields = () if self._sees("}") else tuple(self._several(self._pair))
            self._expect("}")
            return ObjectOf(fields)
        raise syntax_error(self._text, self._place, "an expression")

    def _pair(self) -> tuple[str, Node]:
        name = self._name()
        self._expect(":")
        return name, self.expression()


def _last_name(node: Node) -> str | None:
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Member) and isinstance(node.key, Literal) and isinstance(node.key.value, str):
        return node.key.value
    return None


def _number(text: str) -> int | float:
    if text.lower().startswith("0x"):
        return int(text, 16)
    return int(text) if text.isdecimal() else float(text)
