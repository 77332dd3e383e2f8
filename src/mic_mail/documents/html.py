"""Documents as HTML: one file without scripts or external resources, readable in a mail program.

It can be printed. In: a `Document`. Out: UTF-8. All content is escaped.
"""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from mic_mail.documents.document import MOTTO, NATION, DescriptionList, Document, Table, day_of, display_text, labelled_text

if TYPE_CHECKING:
    from jinja2 import Template


def write(paper: Document) -> bytes:
    return (
        _template()
        .render(
            paper=paper,
            nation=NATION,
            motto=MOTTO,
            day=day_of(paper),
            shown=display_text,
            labelled=labelled_text,
            is_table=lambda block: isinstance(block, Table),
            is_terms=lambda block: isinstance(block, DescriptionList),
        )
        .encode()
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    source = files("mic_mail.documents").joinpath("paper.html").read_text("utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(source)
