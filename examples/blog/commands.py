"""The functions of sql/functions.sql as commands, and what their errors are called outside."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator

from blog.events import PostApproved, PostCreated, PostDeleted, PostPublished, PostViewed, RecordAudited, UserCreated
from twofold.sql import SqlCommand

FAILED = "CREATE_FAILED", "Failed to create user"
TITLE = "Title must be at least 3 characters"
CONTENT = "Content must be at least 50 characters"
TAGS = "Maximum 10 tags allowed"


def rule(holds: Callable[[Any], bool], sentence: str) -> AfterValidator:
    """Checks a value before the function is called. `sentence` is what the user reads if it does not hold."""

    def checked(value: Any) -> Any:
        if not holds(value):
            raise ValueError(sentence)
        return value

    return AfterValidator(checked)


@dataclass(frozen=True)
class CreateUser:
    name: str
    email: str


@dataclass(frozen=True)
class CreatePostInput:
    """A title of at least 3 characters, a content of at least 50, at most 10 tags."""

    title: Annotated[str, rule(lambda title: len(title) >= 3, TITLE)]
    content: Annotated[str, rule(lambda content: len(content) >= 50, CONTENT)]
    tags: Annotated[list[str], rule(lambda tags: len(tags) <= 10, TAGS)] = field(default_factory=list)


@dataclass(frozen=True)
class OnPost:
    post_id: UUID


create_user: SqlCommand[CreateUser, UUID] = SqlCommand(
    "create_user",
    CreateUser,
    function="fn_create_user",
    answers=UUID,
    errors={
        "tb_user_email_key": ("DUPLICATE_EMAIL", "Email already in use"),
        "tb_user_email_form": FAILED,
        "tb_user_name_length": FAILED,
    },
    otherwise=FAILED,
    records=[UserCreated, RecordAudited],
)
create_post: SqlCommand[CreatePostInput, UUID] = SqlCommand(
    "create_post",
    CreatePostInput,
    function="fn_create_post",
    answers=UUID,
    actor="p_author_id",
    errors={
        "tb_post_title_length": ("VALIDATION", TITLE),
        "tb_post_content_length": ("VALIDATION", CONTENT),
        "tb_post_tags_count": ("VALIDATION", TAGS),
    },
    records=[PostCreated],
)
approve_post: SqlCommand[OnPost, bool] = SqlCommand(
    "approve_post",
    OnPost,
    function="fn_approve_post",
    answers=bool,
    actor="p_user_id",
    records=[PostApproved],
)
publish_post: SqlCommand[OnPost, bool] = SqlCommand(
    "publish_post",
    OnPost,
    function="fn_publish_post",
    answers=bool,
    actor="p_user_id",
    records=[PostPublished],
)
delete_post: SqlCommand[OnPost, bool] = SqlCommand(
    "delete_post",
    OnPost,
    function="fn_delete_post",
    answers=bool,
    actor="p_user_id",
    otherwise=("DELETE_FAILED", "Delete failed"),
    records=[PostDeleted],
)
view_post: SqlCommand[OnPost, int] = SqlCommand(
    "view_post", OnPost, function="fn_view_post", answers=int, records=[PostViewed]
)
