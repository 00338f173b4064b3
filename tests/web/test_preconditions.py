import pytest
from fastapi import Request

from twofold.web.preconditions import Conditions, if_new, if_none_match, precondition
from twofold.web.problems import Problem, condition_of


def request(*lines: tuple[str, str | None]) -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines if value is not None]
    return Request({"type": "http", "headers": raw, "path": "/", "state": {}})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("*", None),
        ('"3"', 3),
        (' "3" ', 3),
        ('"2"', 2),  # the log decides: this very command may have made version 3
        ('"1", "3"', 3),
        ('"x,y","2"', 2),
    ],
)
async def test_what_is_expected_at_version_3(header: str | None, expected: int | None) -> None:
    assert (await precondition(request(("If-Match", header)))).expected_version(3) == expected


@pytest.mark.parametrize("header", ['W/"3"', '"abc"', '""', '"03"', '"٣"'.encode().decode("latin-1")])
async def test_what_no_version_can_meet_fails(header: str) -> None:
    with pytest.raises(Problem) as failed:
        (await precondition(request(("If-Match", header)))).expected_version(3)
    assert (failed.value.status_code, failed.value.members["actual"]) == (412, 3)


async def test_a_star_demands_that_the_thing_is_there() -> None:
    with pytest.raises(Problem) as failed:
        (await precondition(request(("If-Match", "*")))).expected_version(0)
    assert failed.value.status_code == 412
    assert failed.value.detail == "If-Match: * is not met: it does not exist"


@pytest.mark.parametrize("tags", ['W/"3"', 'W/"3", "x"', 'W/"1"'])
async def test_a_weak_tag_is_told_why_it_never_matches(tags: str) -> None:
    with pytest.raises(Problem) as failed:
        (await precondition(request(("If-Match", tags)))).expected_version(3)
    strong = tags.split(",", maxsplit=1)[0].removeprefix("W/")
    told = f"If-Match never matches a weak tag: send {strong}, not W/{strong}"
    assert failed.value.detail == f"If-Match: {tags} is not met: the version is 3. {told}"


@pytest.mark.parametrize(
    ("header", "actual", "expected"),
    [
        ("*", 0, 0),
        ("*", 3, 0),  # passed on: this very command may have made it
        ('"3"', 3, 2),
        ('W/"3"', 3, 2),
        ('"2", W/"3"', 3, 2),
        ('"2"', 3, None),  # a past version never comes back
        ('"4"', 3, 3),
        ('"x"', 3, None),
        ('"3"', 0, 0),
        ('"0"', 0, None),
    ],
)
async def test_what_is_expected_where_a_version_is_excluded(header: str, actual: int, expected: int | None) -> None:
    assert (await precondition(request(("If-None-Match", header)))).expected_version(actual) == expected


@pytest.mark.parametrize(
    ("match", "none_match", "expected"),
    [
        ('"3"', '"2"', 3),
        ('"3"', "*", 0),
        ('"3"', '"3"', 2),
        ('"2"', "*", 2),  # If-Match is checked first, and failed
        ("*", '"2"', None),
        ("*", "*", 0),
        ("*", '"3"', 2),
    ],
)
async def test_both_at_once_at_version_3(match: str, none_match: str, expected: int | None) -> None:
    conditions = await precondition(request(("If-Match", match), ("If-None-Match", none_match)))
    assert conditions.expected_version(3) == expected


def test_a_failed_condition_names_what_was_sent_and_what_is() -> None:
    problem = Conditions(('"1"',), ("*",)).failed(3)
    assert problem.detail == 'If-Match: "1"; If-None-Match: * is not met: the version is 3'
    assert (problem.status_code, problem.members) == (412, {"expected": 'If-Match: "1"; If-None-Match: *', "actual": 3})


async def test_what_is_made_can_be_demanded_to_be_new() -> None:
    new = request(("If-None-Match", "*"))
    assert (await if_new(new), await if_new(request())) == (True, False)
    failed = condition_of(new)
    assert failed is not None
    assert failed(3).status_code == 412
    with pytest.raises(Problem, match="If-None-Match can only be"):
        await if_new(request(("If-None-Match", '"1"')))


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("header", ["3", "", '"3', '"3" "4"', '"3",', 'w/"3"', '*, "3"', '"' * 50_001])
async def test_a_malformed_header_is_refused(header: str, name: str) -> None:
    with pytest.raises(Problem) as refused:
        await precondition(request((name, header)))
    assert refused.value.status_code == 400


async def test_only_a_request_with_the_header_is_conditional() -> None:
    plain, conditional = request(), request(("If-None-Match", '"3"'))
    await precondition(plain)
    await precondition(conditional)
    assert condition_of(plain) is None
    assert condition_of(conditional) is not None


@pytest.mark.parametrize("header", ['"3"', 'W/"3"', '"1", "3"', "*"])
async def test_the_same_version_is_not_sent_again(header: str) -> None:
    answered = (await if_none_match(request(("If-None-Match", header)))).not_modified(3)
    assert answered is not None
    assert (answered.status_code, answered.headers["etag"]) == (304, '"3"')


async def test_another_version_is_sent() -> None:
    assert (await if_none_match(request())).not_modified(3) is None
    assert (await if_none_match(request(("If-None-Match", '"2", "x"')))).not_modified(3) is None


async def test_several_lines_are_one_list() -> None:
    assert (await precondition(request(("If-Match", '"1"'), ("If-Match", '"3"')))).expected_version(3) == 3
    with pytest.raises(Problem, match="entity tags"):
        await precondition(request(("If-Match", "*"), ("If-Match", '"3"')))
