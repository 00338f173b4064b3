"""The edges by FastAPI, SQLAlchemy and pydantic: a mapped class, a session for each request, and a response model.

On the read model's public name, with the drivers that SQLAlchemy's documentation uses with asyncio: aiosqlite and
asyncpg. twofold's SQLite holds decimals and times as texts, so there the mapped classes convert those.
"""

import sys
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.sides.edges_server import serve


class Money(sa.TypeDecorator[Decimal]):
    """Numbers on PostgreSQL, their text on twofold's SQLite."""

    impl, cache_ok = sa.String, True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """See SQLAlchemy."""
        return dialect.type_descriptor(sa.Numeric() if dialect.name == "postgresql" else sa.String())

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Decimal | None:
        """See SQLAlchemy."""
        return Decimal(value) if isinstance(value, str) else value


class Time(sa.TypeDecorator[datetime]):
    """Times on PostgreSQL, their text on twofold's SQLite."""

    impl, cache_ok = sa.String, True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """See SQLAlchemy."""
        return dialect.type_descriptor(sa.DateTime(timezone=True) if dialect.name == "postgresql" else sa.String())

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """See SQLAlchemy."""
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class Base(DeclarativeBase):
    pass


class StockRow(Base):
    __tablename__ = "stock"

    product_id: Mapped[str] = mapped_column(primary_key=True)
    warehouse: Mapped[str]
    available: Mapped[int]
    reserved: Mapped[int]
    counted_at: Mapped[datetime] = mapped_column(Time)


class OrderRow(Base):
    __tablename__ = "orders"

    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    status: Mapped[str]
    item_count: Mapped[int]
    subtotal: Mapped[Decimal] = mapped_column(Money)
    tax: Mapped[Decimal] = mapped_column(Money)
    total: Mapped[Decimal] = mapped_column(Money)
    currency: Mapped[str]
    paid: Mapped[bool]
    placed_at: Mapped[datetime] = mapped_column(Time)
    due_on: Mapped[date]
    shipped_at: Mapped[datetime | None] = mapped_column(Time)
    tags: Mapped[list[str]] = mapped_column(sa.JSON)
    lines: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)


class Stock(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    product_id: str
    warehouse: str
    available: int
    reserved: int
    counted_at: datetime


class Line(BaseModel):
    sku: str
    quantity: int
    cents: int


class Order(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    order_id: str
    customer_id: str
    status: str
    item_count: int
    subtotal: Decimal
    tax: Decimal
    total: Decimal
    currency: str
    paid: bool
    placed_at: datetime
    due_on: date
    shipped_at: datetime | None
    tags: list[str]
    lines: list[Line]


class StockPage(BaseModel):
    data: list[Stock]


class OrderPage(BaseModel):
    data: list[Order]


def made(url: str) -> FastAPI:
    """The app on this store."""
    is_file = url.startswith("sqlite:///")
    file = Path(url.removeprefix("sqlite:///")).with_suffix(".read.db")
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{file}" if is_file else url.replace("postgresql://", "postgresql+asyncpg://", 1)
    )
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    app = FastAPI()

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    Session = Annotated[AsyncSession, Depends(session)]  # noqa: N806 (a type)
    Limit = Annotated[int, Query(ge=1, le=500)]  # noqa: N806 (a type)

    @app.get("/stock/{product_id}", response_model=Stock)
    async def stock_row(product_id: str, session: Session) -> Any:
        found = await session.get(StockRow, product_id)
        if found is None:
            raise HTTPException(404)
        return found

    @app.get("/stock", response_model=StockPage)
    async def stock_page(warehouse: str, session: Session, limit: Limit = 50) -> Any:
        chosen = sa.select(StockRow).where(StockRow.warehouse == warehouse)
        return {"data": (await session.scalars(chosen.order_by(StockRow.product_id).limit(limit))).all()}

    @app.get("/orders/{order_id}", response_model=Order)
    async def order_row(order_id: str, session: Session) -> Any:
        found = await session.get(OrderRow, order_id)
        if found is None:
            raise HTTPException(404)
        return found

    @app.get("/orders", response_model=OrderPage)
    async def order_page(customer_id: str, session: Session, limit: Limit = 50) -> Any:
        chosen = sa.select(OrderRow).where(OrderRow.customer_id == customer_id)
        newest = chosen.order_by(OrderRow.placed_at.desc(), OrderRow.order_id.desc()).limit(limit)
        return {"data": (await session.scalars(newest)).all()}

    return app


if __name__ == "__main__":
    serve(made(sys.argv[1]))
