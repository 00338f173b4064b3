"""What the tool plants: which defects it finds, what it leaves alone, and that a seed draws the same again."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from mutants import drawing, lists, python, sql
from mutants.copy import ROOT
from mutants.defect import Defect, DoesNotApply


def of_python(source: str) -> set[tuple[str, str]]:
    text = dedent(source)
    found = list(python.defects("x.py", text))
    for defect in found:
        ast.parse(defect.planted_in(text))
    return {(defect.kind, defect.planted_in(text).strip()) for defect in found}


def of_sql(text: str) -> set[tuple[str, str]]:
    return {(defect.kind, defect.planted_in(text)) for defect in sql.defects("x.sql", text)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a < b", "a <= b"),
        ("a >= b", "a > b"),
        ("é < b", "é <= b"),
        ("a + b", "a - b"),
        ("a and b", "a or b"),
        ("a and b and c", "a and True and c"),
        ("not a", "(a)"),
        ("f(3)", "f(4)"),
        ("f(3)", "f((2))"),
        ("f(True)", "f(False)"),
        ("f(a, b)", "f(b, a)"),
        ("x = (a, b, c)", "x = (a, c)"),
        ("min(a)", "max(a)"),
        ("any(a)", "all(a)"),
        ("x = a[0]", "x = a[-1]"),
        ("x = sorted(a, key=k)", "x = sorted(a, key=k, reverse=True)"),
        ("self.x = 1", "pass"),
        ("raise Closed", "pass"),
        ("a if b else c", "a if not (b) else c"),
        ("if a:\n    f()", "if not (a):\n    f()"),
        ("for a in b:\n    break", "for a in b:\n    continue"),
        ("def f(a=1):\n    pass", "def f(a=2):\n    pass"),
        ("async def f():\n    await g()", "async def f():\n    pass"),
        ("async def f():\n    await g()", "async def f():\n    return"),
        ("try:\n    f()\nexcept KeyError:\n    g()", "try:\n    f()\nexcept ZeroDivisionError:\n    g()"),
    ],
)
def test_an_operator_of_python(before: str, after: str) -> None:
    assert after in {made for _, made in of_python(before)}


@pytest.mark.parametrize(
    "source",
    [
        '"""A text of 3 words."""',
        "__slots__ = ('a', 'b')",
        "a: tuple[Literal[1], int]",
        "def f(a: Literal[1]) -> Literal[2]: ...",
        "if TYPE_CHECKING:\n    x = 1",
        "class A(Protocol):\n    def f(self) -> int:\n        return g(1)",
        "log.warning('so many: %d', 1 + 2)",
        "@decorated(1)\ndef f(): ...",
        "x = f'{1:>3}'",
    ],
)
def test_what_changes_no_behaviour_is_left_alone(source: str) -> None:
    assert of_python(source) == set()


def test_the_text_of_an_error_is_left_alone_but_not_that_it_is_raised() -> None:
    assert of_python("raise Closed('so many', 1 + 2)") == {("removed statement", "pass")}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SELECT a FROM t WHERE a < $1", "SELECT a FROM t WHERE a <= $1"),
        ("SELECT a FROM t WHERE a = 1 AND b = 2", "SELECT a FROM t WHERE a = 1"),
        ("SELECT a FROM t WHERE (a = 1 AND b = 2) LIMIT 3", "SELECT a FROM t WHERE (a = 1) LIMIT 3"),
        ("SELECT a FROM t ORDER BY a LIMIT 3", "SELECT a FROM t LIMIT 3"),
        ("SELECT a FROM t ORDER BY a LIMIT 3", "SELECT a FROM t ORDER BY a"),
        ("SELECT a FROM t ORDER BY a DESC", "SELECT a FROM t ORDER BY a"),
        ("SELECT a FROM t FOR UPDATE", "SELECT a FROM t"),
        ("INSERT INTO t VALUES (?) ON CONFLICT DO NOTHING", "INSERT INTO t VALUES (?)"),
        ("UPDATE t SET a = $1, b = $2", "UPDATE t SET a = $2, b = $1"),
        ("UPDATE t SET a = a + 1", "UPDATE t SET a = a - 1"),
        ("UPDATE t SET a = a + 1", "UPDATE t SET a = a + 2"),
        ("SELECT max(a) FROM t", "SELECT min(a) FROM t"),
        ("SELECT a IS NULL", "SELECT a IS NOT NULL"),
        ("SELECT 1 WHERE NOT EXISTS (SELECT)", "SELECT 1 WHERE EXISTS (SELECT)"),
    ],
)
def test_an_operator_of_sql(before: str, after: str) -> None:
    assert after in {made for _, made in of_sql(before)}


@pytest.mark.parametrize(
    "text", ["-- of 1 < 2, ORDER BY\n", "SELECT 'a < 1 AND b'", "UPDATE t SET a = $1", 'SELECT "a + 1"']
)
def test_comments_literals_and_parameters_are_left_alone(text: str) -> None:
    assert of_sql(text) == set()


def test_a_condition_ends_before_the_next_statement() -> None:
    text = "SELECT a FROM t WHERE a = ? AND b IS ?\n\n-- name: other\nSELECT c FROM t\n"
    assert ("removed condition", text.replace(" AND b IS ?", "")) in of_sql(text)


def test_a_seed_draws_the_same_again_and_another_one_others() -> None:
    first = drawing.draw(ROOT, 1, "src/twofold/write")
    assert first == drawing.draw(ROOT, 1, "src/twofold/write")
    assert first != drawing.draw(ROOT, 2, "src/twofold/write")
    for defect in first:
        text = (ROOT / defect.file).read_text("utf-8")
        ast.parse(defect.planted_in(text))
        assert defect.planted_in(text) != text


def test_the_lists_are_large_enough_and_name_each_defect_once() -> None:
    drawn, made = lists.drawn().defects, lists.by_hand()
    assert len(drawn) >= 400
    assert len(made) >= 60
    assert len({defect.name for defect in [*drawn, *made]}) == len(drawn) + len(made)
    assert all(defect.meets and defect.promise for defect in made)


def test_the_reasons_are_those_of_listed_defects() -> None:
    assert lists.harmless().keys() <= {defect.name for defect in [*lists.drawn().defects, *lists.by_hand()]}


def test_the_results_are_those_of_listed_defects() -> None:
    listed = {defect.name for defect in (*lists.by_hand(), *lists.drawn().defects)}
    assert {result.defect.name for result in lists.results()} == listed


def test_a_defect_is_found_again_in_the_nearest_line_that_reads_the_same() -> None:
    defect = next(one for one in python.defects("x.py", "a\nf(1)\n") if one.new == "2")
    assert defect.planted_in("f(1)\na\nb\nc\nf(1)\n") == "f(2)\na\nb\nc\nf(1)\n"
    assert defect.planted_in("a\nb\nc\nf(1)\n") == "a\nb\nc\nf(2)\n"
    assert not defect.applies_to("a\n  f(1)\n")


def test_a_list_is_topped_up_where_too_few_still_apply(tmp_path: Path) -> None:
    def written(source: str) -> None:
        for file in ("src/twofold/write/thing.py", "examples/shop/app.py", "examples/shop/values.py"):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(source)

    written("f(1)\nassert a < b\ng(a, b)\nx = not y\n")
    before = drawing.draw(tmp_path, 1)
    assert len(before) == 9
    assert drawing.topped_up(tmp_path, 1, before) == before
    written("\nf(2)\nassert a < b\ng(a, b)\nx = not z\n")
    after = drawing.topped_up(tmp_path, 1, before)
    source = (tmp_path / "examples/shop/app.py").read_text()
    assert set(before) < set(after)
    assert sum(one.applies_to(source) for one in after) == 9
    assert len({(one.file, one.planted_in(source)) for one in after if one.applies_to(source)}) == 9


def test_a_defect_that_no_longer_applies_says_so() -> None:
    with pytest.raises(DoesNotApply, match="no longer reads 'a'"):
        Defect("x.py", "constant", "a", "b", 1, 1).planted_in("c")
    with pytest.raises(DoesNotApply, match="found 2 times"):
        Defect("x.py", "by hand", "a", "b").planted_in("a a")
