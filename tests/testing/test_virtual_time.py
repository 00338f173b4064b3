"""The clock that jumps: nothing takes real time, and everything happens in order."""

import asyncio

import pytest

from twofold.testing import virtual_time


def test_a_year_passes_at_once_and_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []
        clock = asyncio.get_running_loop().time

        async def after(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, clock()))

        await asyncio.gather(after(31_536_000, "a year"), after(0.5, "half a second"), after(60, "a minute"))
        return seen

    seen = virtual_time.run(main())
    assert [name for name, _ in seen] == ["half a second", "a minute", "a year"]
    assert [round(moment, 3) for _, moment in seen] == [0.5, 60.0, 31_536_000.0]


def test_a_time_out_ends_what_never_comes() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 3_600)

    virtual_time.run(main())


def test_waiting_for_nothing_is_told_instead_of_hanging() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is left"):
        virtual_time.run(main())
