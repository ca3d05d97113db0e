"""The OpenAPI description as a page that loads nothing from elsewhere, as those that come with FastAPI do."""

import html
from collections.abc import Iterable
from typing import Any


def docs_page(schema: dict[str, Any]) -> str:
    """HTML of a description, as `FastAPI.openapi` gives it."""
    parts: list[str] = []
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            title = html.escape(f"{method.upper()} {path}")
            parts.append(f"<h2>{title}</h2><p>{html.escape(about.get('summary', ''))}.</p>")
            parts += [f"<p>{html.escape(line)}</p>" for line in about.get("description", "").split("\n\n") if line]
            rows = [(one["name"], one["in"], one.get("description", "")) for one in about.get("parameters", [])]
            for media, content in about.get("requestBody", {}).get("content", {}).items():
                fields = content.get("schema", {}).get("properties", {})
                rows += [(name, media, one.get("description", "")) for name, one in fields.items()]
            parts.append(_table(("name", "in", "meaning"), rows) if rows else "")
            answers = [(status, one.get("description", "")) for status, one in about.get("responses", {}).items()]
            parts.append(_table(("status", "meaning"), answers))
    title = html.escape(f"{schema['info']['title']} {schema['info']['version']}: the HTTP interface")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="/page/page.css"></head><body class="docs"><h1>{title}</h1>'
        '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>' + "\n".join(parts) + "</body></html>\n"
    )


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return f"<table>{_row('th', header)}{''.join(_row('td', row) for row in rows)}</table>"


def _row(tag: str, cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
