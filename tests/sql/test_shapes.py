"""The shape of an event's JSON, where its classes contain each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from twofold.sql.shapes import shape_of


@dataclass(frozen=True)
class Folder:
    name: str
    files: list[File] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    size: int
    within: Folder | None = None


@dataclass(frozen=True)
class Filed:
    """An event."""

    first: File
    folder: Folder


def test_classes_that_contain_each_other_are_checked_once_on_each_way() -> None:
    """Within itself a class is any object."""
    shape = shape_of(Filed)
    assert [one.name for one in shape.fields] == ["first", "folder"]
    for within in ('$."first"."within"."name"', '$."folder"."name"'):
        assert f"exists({within})" in shape.fits
    assert '"within"."files"' in shape.fits
    assert '."within"."files"."within"' not in shape.fits
    assert "size" in shape.fields[1].fits
