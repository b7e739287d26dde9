"""GET /: one page to try the model with a photo. It loads nothing but itself and asks this server alone."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from html import escape
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from npresnet.serve.cam import why_not
from npresnet.serve.front import service_of
from npresnet.serve.service import Service
from npresnet.system.text import visible


async def page(request: Request) -> Response:
    """HTML with a policy that allows its own script and style and no other."""
    return Response(_html(service_of(request)), headers={"content-security-policy": _policy()}, media_type="text/html")


def _html(service: Service) -> str:
    classes = service.model.config.value("num_classes")
    facts = {
        "cam": why_not(service.model) if classes else "",
        "predicts": bool(classes),
        "exif": service.how is not None and service.how.exif,
        "name": service.name,
    }
    what = f"{visible(str(service.model.config.value('arch')))}, {classes} classes" if classes else "no classifier"
    parts = {
        "$style": _style(),
        "$script": _script(),
        "$facts": json.dumps(facts).replace("<", "\\u003c"),
        "$name": escape(service.name),
        "$what": escape(what),
    }
    text = _file("page.html")
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _policy() -> str:
    return (
        f"default-src 'none'; script-src {_hash(_script())}; style-src {_hash(_style())}; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@lru_cache
def _style() -> str:
    """The look that the teaching pages have as well, and what this page adds."""
    return files("npresnet.teach.pages").joinpath("page.css").read_text(encoding="utf-8") + _file("page.css")


def _script() -> str:
    return _file("page.js")


@lru_cache
def _file(name: str) -> str:
    return files("npresnet.serve").joinpath(name).read_text(encoding="utf-8")
