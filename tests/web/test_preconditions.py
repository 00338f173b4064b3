import pytest
from fastapi import Request

from twofold.web.preconditions import if_match, if_none_match
from twofold.web.problems import Problem, is_conditional


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
        ('"2"', 2),  # the log decides: it may have been this very command that made version 3
        ('"1", "3"', 3),
        ('"x,y","2"', 2),
    ],
)
async def test_what_is_expected_at_version_3(header: str | None, expected: int | None) -> None:
    assert (await if_match(request(("If-Match", header)))).expected_version(3) == expected


@pytest.mark.parametrize("header", ['W/"3"', '"abc"', '""', '"03"', '"٣"'.encode().decode("latin-1")])
async def test_what_no_version_can_meet_fails(header: str) -> None:
    with pytest.raises(Problem) as failed:
        (await if_match(request(("If-Match", header)))).expected_version(3)
    assert (failed.value.status_code, failed.value.members["actual"]) == (412, 3)


async def test_a_star_demands_that_the_thing_is_there() -> None:
    with pytest.raises(Problem) as failed:
        (await if_match(request(("If-Match", "*")))).expected_version(0)
    assert failed.value.status_code == 412


@pytest.mark.parametrize("header", ["3", "", '"3', '"3" "4"', '"3",', 'w/"3"', '*, "3"', '"' * 50_001])
async def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(Problem) as refused:
        await if_match(request(("If-Match", header)))
    assert refused.value.status_code == 400


async def test_only_a_request_with_the_header_is_conditional() -> None:
    plain, conditional = request(), request(("If-Match", '"3"'))
    await if_match(plain)
    await if_match(conditional)
    assert (is_conditional(plain), is_conditional(conditional)) == (False, True)


@pytest.mark.parametrize("header", ['"3"', 'W/"3"', '"1", "3"', "*"])
async def test_the_same_version_is_not_sent_again(header: str) -> None:
    answered = (await if_none_match(request(("If-None-Match", header)))).not_modified(3)
    assert answered is not None
    assert (answered.status_code, answered.headers["etag"]) == (304, '"3"')


async def test_another_version_is_sent() -> None:
    assert (await if_none_match(request())).not_modified(3) is None
    assert (await if_none_match(request(("If-None-Match", '"2", "x"')))).not_modified(3) is None


async def test_several_lines_are_one_list() -> None:
    assert (await if_match(request(("If-Match", '"1"'), ("If-Match", '"3"')))).expected_version(3) == 3
    with pytest.raises(Problem, match="entity tags"):
        await if_match(request(("If-Match", "*"), ("If-Match", '"3"')))
