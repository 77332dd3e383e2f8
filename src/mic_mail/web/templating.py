"""Render pages as HTML from templates, with the style sheet, in one of the two languages.

In: a template's name, the language, values. Out: a response with its headers. The template engine escapes everything.
Nothing in a template runs in a browser: no page has a script, and the policy in `middleware` would not let one run.
"""

from base64 import urlsafe_b64encode
from hashlib import sha256
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.responses import HTMLResponse

from mic_mail.config.model import Config
from mic_mail.errors import Text
from mic_mail.i18n import pages
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.dates import day, instant
from mic_mail.i18n.language import Language, in_language

_HERE = files("mic_mail.web") / "templates"


def asset(name: str) -> bytes:
    """Return a file that lies beside the templates."""
    return (_HERE / name).read_bytes()


STYLE = asset("style.css")
STYLE_PATH = f"/style-{urlsafe_b64encode(sha256(STYLE).digest()[:9]).decode()}.css"
"""The name changes with the content, so browsers may cache it for ever."""
ICON = asset("icon.svg")
ICON_PATH = "/icon.svg"


@pass_context
def _localized(context: Context, text: Text) -> str:
    language: Language = context["language"]
    return in_language(text, language)


class Pages:
    """The pages of one configuration."""

    def __init__(self, config: Config) -> None:
        names = [entry.name for entry in _HERE.iterdir() if entry.name.endswith(".html")]
        loader = DictLoader({name: asset(name).decode() for name in names})
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters.update(told=_localized, clause=clause, day=day, instant=instant)
        self._environment.globals.update(
            words=pages,
            style=STYLE_PATH,
            home="/",
            organisation=Text(config.regulation.ministry, config.web.ministry_en),
            help_line=pages.help_line(config.support),
            support=config.support,
        )

    def page(self, name: str, language: Language, status: int = 200, **values: object) -> HTMLResponse:
        """Return a whole page; the links of the other language lead to `path` among the values."""
        html = self._environment.get_template(f"{name}.html").render(language=language, **values)
        return HTMLResponse(html, status)
