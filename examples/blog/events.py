"""What the functions record, with the names that it has in `tb_domain_events`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from twofold import Stored


@dataclass(frozen=True)
class UserCreated:
    name: str
    email: str


@dataclass(frozen=True)
class PostCreated:
    author_id: UUID
    title: str
    created_at: datetime


@dataclass(frozen=True)
class PostApproved:
    approved_by: UUID


@dataclass(frozen=True)
class PostPublished:
    post_id: UUID
    author_id: UUID
    published_at: datetime


@dataclass(frozen=True)
class PostViewed:
    view_count: int


@dataclass(frozen=True)
class PostDeleted:
    author_id: UUID


@dataclass(frozen=True)
class RecordAudited:
    """What a function inserted into `tb_audit_log`."""

    action: str
    table_name: str


STORED = {
    UserCreated: Stored("USER_CREATED"),
    PostCreated: Stored("POST_CREATED"),
    PostApproved: Stored("POST_APPROVED"),
    PostPublished: Stored("POST_PUBLISHED"),
    PostViewed: Stored("POST_VIEWED"),
    PostDeleted: Stored("POST_DELETED"),
    RecordAudited: Stored("RECORD_AUDITED"),
}
