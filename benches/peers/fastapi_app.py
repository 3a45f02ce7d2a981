"""The export as tutorials write it: all users as objects, csv.writer into a StringIO, one Response."""

import csv
import io
import os
from datetime import datetime

from fastapi import FastAPI, Response
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

app = FastAPI()
engine = create_engine(os.environ["DATABASE_URL"])
TIME = str if engine.dialect.name == "sqlite" else datetime  # the sample's SQLite has text


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[TIME]
    updated_at: Mapped[TIME]
    is_active: Mapped[bool]
    is_admin: Mapped[bool]


def export(columns: list[str], after: int | None, limit: int | None) -> Response:
    with Session(engine) as session:
        query = select(User).order_by(User.id).limit(limit)
        if after is not None:
            query = query.where(User.id > after)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        for user in session.scalars(query).all():
            writer.writerow([getattr(user, column) for column in columns])
    return Response(text.getvalue(), media_type="text/csv")


@app.get("/export-full")
def export_full(after: int | None = None, limit: int | None = None):
    return export(["id", "email", "name", "created_at", "updated_at", "is_active", "is_admin"], after, limit)


@app.get("/export")
def export_minimal(after: int | None = None, limit: int | None = None):
    return export(["id", "email", "name"], after, limit)
