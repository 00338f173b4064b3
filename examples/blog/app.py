"""The blog as a value: its commands and read models. There is no decider: PostgreSQL decides."""

from blog import commands, views
from blog.events import STORED
from blog.folded import author_totals, published, tallies
from twofold import App

blog = App(
    "blog",
    commands=[
        commands.create_user,
        commands.create_post,
        commands.approve_post,
        commands.publish_post,
        commands.delete_post,
        commands.view_post,
    ],
    projections=[published, tallies, author_totals],
    views=[
        views.users,
        views.addresses,
        views.posts,
        views.popular_posts,
        views.materialised_dashboard,
        views.dashboard,
    ],
    stored=STORED,
    http="blog.api:web",
)
