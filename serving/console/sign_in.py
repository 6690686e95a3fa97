"""Sign in to the console: an API key with the scope admin, held in a cookie that only pages accept."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from flask import Blueprint, Response, g, make_response, redirect, render_template, request

from models.errors import RequestError
from serving.http.callers import COOKIE, Callers


def sign_in_routes(pages: Blueprint, callers: Callers) -> None:
    """Add /sign-in and /sign-out to the pages."""

    @pages.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> Response | tuple[str, int] | str:
        aim = _local(request.values.get("next", "/"))
        if not callers.asks:
            return _redirect(aim)
        if request.method == "GET":
            return render_template("sign-in.html", aim=aim)
        given = request.form.get("key", "").strip()
        try:
            callers.admin(given)
        except RequestError as error:
            return render_template("sign-in.html", aim=aim, refused=error), error.status
        response = _redirect(aim)
        secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(COOKIE, given, httponly=True, samesite="Strict", path="/", secure=secure)
        return response

    @pages.post("/sign-out")
    def sign_out() -> Response:
        return _forgotten(_redirect("/sign-in"))


def asked_to_sign_in() -> Response:
    """Send the browser to the page that asks for a key, and back to this page afterwards."""
    aim = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return _forgotten(_redirect(f"/sign-in?next={quote(aim)}" if aim != "/" else "/sign-in"))


def signed_in() -> bool:
    """Return whether the key of this request came from the cookie."""
    return "key" in g and COOKIE in request.cookies


def _forgotten(response: Response) -> Response:
    if COOKIE in request.cookies:
        response.delete_cookie(COOKIE, httponly=True, samesite="Strict", path="/")
    return response


def _redirect(aim: str) -> Response:
    return make_response(redirect(aim, 303))


def _local(aim: str) -> str:
    """Return an address of this reader: a path. Any other becomes the overview."""
    parts = urlsplit(aim)
    plain = aim.startswith("/") and not aim.startswith(("//", "/\\")) and not parts.netloc and aim.isprintable()
    return aim if plain else "/"
