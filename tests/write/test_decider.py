"""A write model: folding, deciding, and invalid definitions."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from twofold import ConfigurationError, Decider, InvalidInput, Rejected, Stream
from twofold.testing import given


@dataclass(frozen=True)
class Put:
    text: str


@dataclass(frozen=True)
class Erase:
    pass


@dataclass(frozen=True)
class Written:
    text: str


@dataclass(frozen=True)
class Erased:
    pass


@dataclass(frozen=True)
class Page:
    text: str = ""
    erased: bool = False


def decide(command: Put | Erase, page: Page) -> list[Written | Erased]:
    match command:
        case Put(text) if page.erased:
            raise Rejected(f"{text!r} cannot be written: the page is erased")
        case Put(text):
            return [Written(character) for character in text]
        case Erase():
            return [] if page.erased else [Erased()]


def evolve(page: Page, event: Written | Erased) -> Page:
    match event:
        case Written(text):
            return replace(page, text=page.text + text)
        case Erased():
            return replace(page, erased=True)


pages = Decider("page", Page(), decide, evolve)
documents = Decider("document", Page(), decide, evolve, stored="state")


def test_the_state_is_the_fold_of_the_events() -> None:
    assert pages.state([]) == Page()
    assert pages.state([Written("a"), Written("b"), Erased()]) == Page("ab", erased=True)
    assert pages.evolved(Page("x"), [Written("a")]) == Page("xa")
    assert decide(Put("c"), pages.state([Written("a")])) == [Written("c")]


def test_commands_events_and_streams_are_known_by_class() -> None:
    assert pages.command_types == (Put, Erase)
    assert pages.event_types == pages.recorded_types == (Written, Erased)
    assert documents.recorded_types == (Page,)
    assert pages.stream("7") == Stream("page", "7")
    with pytest.raises(InvalidInput):
        pages.stream("")


def test_a_document_records_its_whole_new_state_once() -> None:
    assert documents.to_record(Put("ab"), Page("x")) == [Page("xab")]
    assert documents.to_record(Erase(), Page(erased=True)) == []
    assert documents.after(Page("x"), []) == Page("x")
    assert documents.after(Page("x"), [Page("a"), Page("b")]) == Page("b")
    assert pages.after(Page("x"), [Written("a"), Erased()]) == Page("xa", erased=True)


@pytest.mark.parametrize("command", [None, "put", Written("a"), Put])
def test_a_command_it_is_not_made_for_is_refused(command: Any) -> None:
    with pytest.raises(InvalidInput, match=r"decider 'page' decides Put \| Erase, not"):
        pages.to_record(command, Page())


def test_a_forgotten_return_is_told_where_it_was_forgotten() -> None:
    def forgetful(page: Page, event: Written | Erased) -> Page:
        return page if isinstance(event, Written) else None  # type: ignore[return-value]

    def silent(command: Put, page: Page) -> list[Written]:
        return None  # type: ignore[return-value]

    with pytest.raises(TypeError, match=r"decider 'page': evolve returned None for Erased"):
        Decider("page", Page(), decide, forgetful).state([Written("a"), Erased()])
    with pytest.raises(
        TypeError,
        match=r"decider 'page': decide must return a list of events, not None; to do nothing, return an empty one",
    ):
        Decider("page", Page(), silent, evolve).to_record(Put("a"), Page())


@pytest.mark.parametrize("category", ["", "or-der", "9", "a b"])
def test_a_category_that_cannot_be_is_refused(category: str) -> None:
    with pytest.raises(ConfigurationError, match="category"):
        Decider(category, Page(), decide, evolve)


def test_what_cannot_be_a_decider_says_why() -> None:
    with pytest.raises(ConfigurationError, match='stored must be "events" or "state", not \'rows\''):
        Decider("page", Page(), decide, evolve, stored="rows")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"decider 'page', decide: .*<lambda> must take 2 parameters"):
        Decider("page", Page(), lambda command: [], evolve)  # type: ignore[arg-type, misc]
    with pytest.raises(ConfigurationError, match=r"decider 'page', evolve: .* annotate event"):
        Decider("page", Page(), decide, lambda page, event: page)


# ---- given, when, then


def test_given_when_then_says_what_happens() -> None:
    given(pages).when(Put("ab")).then(Written("a"), Written("b"))
    given(pages, Written("a"), Erased()).when(Erase()).then()
    given(pages, Erased()).when(Put("a")).raises(Rejected, "cannot be written")
    given(documents, Written("a")).when(Erase()).then(Erased())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: given(pages).when(Put("a")).then(Written("b")),
        lambda: given(pages).when(Put("a")).then(),
        lambda: given(pages).when(Put("ab")).then(Written("b"), Written("a")),
        lambda: given(pages).when(Put("a")).raises(Rejected),
        lambda: given(pages, Erased()).when(Put("a")).then(Written("a")),
        lambda: given(pages, Erased()).when(Put("a")).raises(ValueError),
        lambda: given(pages, Erased()).when(Put("a")).raises(Rejected, "other words"),
    ],
)
def test_given_when_then_fails_where_it_should(wrong: Any) -> None:
    with pytest.raises(AssertionError, match=r"Put|cannot be written"):
        wrong()


@dataclass
class Gathered:
    """An event that can be changed, as it should not be."""

    names: list[str]


def nothing_more(command: Gathered, state: list[str]) -> list[Gathered]:
    return []


def keep_all(state: list[str], event: Gathered) -> list[str]:
    event.names.reverse()
    state += event.names
    return state


def test_a_state_is_the_same_again_whatever_evolve_does_with_it_and_the_events() -> None:
    """A test of the domain goes on with the events that it has, and so does the next one."""
    gathering: Decider[Gathered, list[str], Gathered] = Decider("gathering", [], nothing_more, keep_all)
    events = [Gathered(["a", "b"]), Gathered(["c", "d"])]
    first = gathering.state(events)
    assert first == ["b", "a", "d", "c"]
    first.clear()
    assert gathering.state(events) == ["b", "a", "d", "c"]
    assert events == [Gathered(["a", "b"]), Gathered(["c", "d"])]
    assert gathering.state([]) == []
