"""The functions of sql/functions.sql as commands, and what their errors are called outside."""

from dataclasses import dataclass, field
from uuid import UUID

from twofold import InvalidInput
from twofold.sql import SqlCommand

MIN_TITLE, MIN_CONTENT, MAX_TAGS = 3, 50, 10
TITLE = f"Title must be at least {MIN_TITLE} characters"
CONTENT = f"Content must be at least {MIN_CONTENT} characters"
TAGS = f"Maximum {MAX_TAGS} tags allowed"


@dataclass(frozen=True)
class CreateUser:
    name: str
    email: str


@dataclass(frozen=True)
class CreatePostInput:
    """A title of at least 3 characters, a content of at least 50, at most 10 tags."""

    title: str
    content: str
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.title) < MIN_TITLE:
            raise InvalidInput(TITLE)
        if len(self.content) < MIN_CONTENT:
            raise InvalidInput(CONTENT)
        if len(self.tags) > MAX_TAGS:
            raise InvalidInput(TAGS)


@dataclass(frozen=True)
class OnPost:
    post_id: UUID


create_user: SqlCommand[CreateUser, UUID] = SqlCommand(
    "create_user",
    CreateUser,
    function="fn_create_user",
    answers=UUID,
    errors={"tb_user_email_key": ("DUPLICATE_EMAIL", "Email already in use")},
    otherwise=("CREATE_FAILED", "Failed to create user"),
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
)
approve_post: SqlCommand[OnPost, bool] = SqlCommand(
    "approve_post", OnPost, function="fn_approve_post", answers=bool, actor="p_user_id"
)
publish_post: SqlCommand[OnPost, bool] = SqlCommand(
    "publish_post", OnPost, function="fn_publish_post", answers=bool, actor="p_user_id"
)
delete_post: SqlCommand[OnPost, bool] = SqlCommand(
    "delete_post",
    OnPost,
    function="fn_delete_post",
    answers=bool,
    actor="p_user_id",
    otherwise=("DELETE_FAILED", "Delete failed"),
)
view_post: SqlCommand[OnPost, int] = SqlCommand("view_post", OnPost, function="fn_view_post", answers=int)
