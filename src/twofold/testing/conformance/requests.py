"""Requests with a key: claimed once, one response kept, and partly forgotten."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from twofold.backends.ports import LogStore
from twofold.messages import BEGINNING
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.material import UNUSUAL_IDS, appended
from twofold.write.requests import Answer, KeepsRequests, Requests

ID, OTHER_ID = "ab" * 32, "cd" * 32
HEADERS = [("content-type", "application/json"), ("link", "</a>"), ("link", "</b>"), ("x-name", "Gr\xf6\xdfe")]
MADE = Answer(202, HEADERS, b'{"orderId": "1"}')
DAY_S = 86_400.0
OVER_S = -1.0  # a response kept for this long has already expired


class RequestConformance(OnBackend):
    """See `Requests`."""

    @pytest.fixture
    def requests(self, log: LogStore) -> Requests:
        """The requests of the log."""
        if not isinstance(log, KeepsRequests):
            pytest.skip("this backend keeps no requests")
        return log.requests

    @pytest.fixture
    def other_requests(self, other_log: LogStore) -> Requests:
        """The requests as another process opens them."""
        assert isinstance(other_log, KeepsRequests)
        return other_log.requests

    async def test_the_secret_is_the_logs_own(self, requests: Requests, other_requests: Requests) -> None:
        """It is random and never changes."""
        secret = await requests.secret()
        assert (len(secret), len(set(secret)) > 8) == (32, True)
        assert [await requests.secret(), await other_requests.secret()] == [secret] * 2

    async def test_the_first_claim_stays(self, requests: Requests, other_requests: Requests) -> None:
        """Each request has its own."""
        first = await requests.claim(ID, b"f")
        assert (first.fingerprint, list(first.asked), first.answer) == (b"f", [], None)
        assert (await other_requests.claim(ID, b"g")).fingerprint == b"f"
        assert (await other_requests.claim(OTHER_ID, b"g")).fingerprint == b"g"

    async def test_the_first_answer_stays(self, requests: Requests, other_requests: Requests) -> None:
        """It is returned as it was kept, with its expiry."""
        await requests.claim(ID, b"f")
        before = datetime.now(UTC)
        kept = await requests.keep(ID, MADE, ["order-1"], DAY_S)
        assert (kept.status, kept.headers, kept.body) == (202, HEADERS, MADE.body)
        assert kept.expires_at is not None
        assert abs(kept.expires_at - before - timedelta(days=1)) < timedelta(minutes=1)
        assert await other_requests.keep(ID, Answer(409, [], b"later"), [], DAY_S) == kept
        claimed = await other_requests.claim(ID, b"f")
        assert (claimed.answer, list(claimed.asked)) == (kept, ["order-1"])

    async def test_any_answer_is_kept(self, requests: Requests) -> None:
        """A body is bytes, not text."""
        for number, body in enumerate((b"", b"\x00\xff\x80", b"x" * 1024 * 1024)):
            request_id = f"{number:064x}"
            await requests.claim(request_id, b"f")
            await requests.keep(request_id, Answer(200, [], body), [], DAY_S)
            answer = (await requests.claim(request_id, b"f")).answer
            assert answer is not None
            assert (answer.body, list(answer.headers)) == (body, [])

    async def test_what_was_asked_is_noted(self, requests: Requests, other_requests: Requests) -> None:
        """Whatever the streams are called."""
        streams = [f"note-{name}" for name in UNUSUAL_IDS]
        await requests.claim(ID, b"f")
        await requests.note(ID, streams)
        claimed = await other_requests.claim(ID, b"f")
        assert (list(claimed.asked), claimed.answer) == (streams, None)
        await requests.keep(ID, MADE, ["note-1"], DAY_S)
        assert list((await other_requests.claim(ID, b"f")).asked) == ["note-1"]

    async def test_an_answer_expires_and_its_claim_does_not(self, requests: Requests, other_requests: Requests) -> None:
        """The key can never be used for another request: the command ids derived from it are known for ever."""
        await requests.claim(ID, b"f")
        await requests.keep(ID, MADE, ["order-1"], OVER_S)
        for other in range(3):  # each sweeps
            await requests.claim(f"{other:064x}", b"f")
            await requests.keep(f"{other:064x}", MADE, [], OVER_S)
        claimed = await other_requests.claim(ID, b"g")
        assert (claimed.fingerprint, list(claimed.asked), claimed.answer) == (b"f", ["order-1"], None)
        again = await other_requests.keep(ID, Answer(200, [], b"again"), ["order-1"], DAY_S)
        assert again.body == b"again"
        assert (await requests.claim(ID, b"f")).answer == again

    async def test_an_expired_answer_gives_way_to_the_next_one(
        self, requests: Requests, other_requests: Requests
    ) -> None:
        """Of the same request, whether or not anything has removed the expired one before."""
        await requests.claim(ID, b"f")
        for number in range(3):
            await requests.keep(ID, MADE, ["order-1"], OVER_S)
            again = await other_requests.keep(ID, Answer(200 + number, [], b"again"), ["order-1"], OVER_S)
            assert again.status == 200 + number
            assert (await requests.claim(ID, b"f")).answer is None
        kept = await requests.keep(ID, MADE, ["order-2"], DAY_S)
        claimed = await other_requests.claim(ID, b"f")
        assert (claimed.answer, list(claimed.asked)) == (kept, ["order-2"])

    async def test_g11_an_answer_belongs_to_a_log_id(self, log: LogStore, requests: Requests) -> None:
        """It contains a token, which the log does not accept under its new id."""
        await requests.claim(ID, b"f")
        await requests.keep(ID, MADE, ["order-1"], DAY_S)
        secret = await requests.secret()
        await log.new_id()
        claimed = await requests.claim(ID, b"f")
        assert (claimed.fingerprint, list(claimed.asked), claimed.answer) == (b"f", ["order-1"], None)
        again = await requests.keep(ID, Answer(200, [], b"again"), [], DAY_S)
        assert again.body == b"again"
        assert (await requests.claim(ID, b"f")).answer == again
        assert await requests.secret() == secret

    async def test_many_at_once(self, requests: Requests, other_requests: Requests) -> None:
        """One claim and one response win."""
        both = (requests, other_requests)
        claims = await asyncio.gather(*(both[n % 2].claim(ID, bytes([n])) for n in range(12)))
        assert len({claim.fingerprint for claim in claims}) == 1
        kept = await asyncio.gather(*(both[n % 2].keep(ID, Answer(200 + n, [], b""), [], DAY_S) for n in range(12)))
        assert len({answer.status for answer in kept}) == 1

    async def test_many_requests_at_once(self, requests: Requests, other_requests: Requests) -> None:
        """Each gets what is its own, from two processes that handle them in opposite orders."""
        ids = [f"{number:064x}" for number in range(40)]
        await asyncio.gather(*(requests.claim(one, one.encode()) for one in ids[::2]))
        claims = await asyncio.gather(
            *(requests.claim(one, b"mine") for one in ids), *(other_requests.claim(one, b"mine") for one in ids[::-1])
        )
        firsts = [one.encode() if number % 2 == 0 else b"mine" for number, one in enumerate(ids)]
        assert [claim.fingerprint for claim in claims] == firsts + firsts[::-1]
        for one in ids[::3]:
            await requests.keep(one, Answer(200, [], b"first"), [], DAY_S)
        kept = await asyncio.gather(
            *(requests.keep(one, Answer(202, HEADERS, one.encode()), [f"order-{one}"], DAY_S) for one in ids),
            *(
                other_requests.keep(one, Answer(202, HEADERS, one.encode()), [f"order-{one}"], DAY_S)
                for one in ids[::-1]
            ),
        )
        bodies = [b"first" if number % 3 == 0 else one.encode() for number, one in enumerate(ids)]
        assert [answer.body for answer in kept] == bodies + bodies[::-1]
        known = await asyncio.gather(*(other_requests.claim(one, b"mine") for one in ids))
        assert [claim.answer for claim in known] == list(kept[: len(ids)])
        assert [list(claim.asked) for claim in known] == [
            [] if number % 3 == 0 else [f"order-{one}"] for number, one in enumerate(ids)
        ]

    async def test_the_feed_does_not_hear_of_it(self, log: LogStore, requests: Requests) -> None:
        """A claimed request adds no event and no position."""
        await requests.claim(ID, b"f")
        await requests.keep(ID, MADE, [], DAY_S)
        assert await log.head() == BEGINNING
        await appended(log, "note-1", "a")
        assert await log.behind(BEGINNING) == 1

    async def test_they_outlive_the_process(self, requests: Requests, log: LogStore, backend: Backend) -> None:
        """They exist when the store is reopened."""
        await requests.claim(ID, b"f")
        kept = await requests.keep(ID, MADE, [], DAY_S)
        secret = await requests.secret()
        await log.close()
        again = await backend.open_log()
        assert isinstance(again, KeepsRequests)
        assert (await again.requests.claim(ID, b"g")).answer == kept
        assert await again.requests.secret() == secret
        await again.close()
