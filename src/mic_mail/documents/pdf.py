"""Documents as PDF, A4, with every Vietnamese letter (PDF/A-2b, ISO 19005-2, by typst).

PDF/A is readable in twenty years. In: a `Document`. Out: octets; the same document gives the same octets, so that a digest of
the file is meaningful. The content goes to the template as data and never as markup: a mailbox's name cannot change the page.
"""

import json
from datetime import UTC
from functools import cache
from importlib.resources import files

from mic_mail.documents.document import (
    MOTTO,
    NATION,
    Block,
    DescriptionList,
    Document,
    Table,
    day_of,
    display_text,
    labelled_text,
)


def write(paper: Document) -> bytes:
    import typst

    written = typst.compile(
        _template(),
        format="pdf",
        sys_inputs={"paper": _data(paper)},
        ignore_system_fonts=True,
        pdf_standards="a-2b",
        timestamp=paper.made_at.astimezone(UTC).replace(microsecond=0),
    )
    assert isinstance(written, bytes)
    return written


@cache
def _template() -> bytes:
    return files("mic_mail.documents").joinpath("paper.typ").read_bytes()


def _data(paper: Document) -> str:
    return json.dumps(
        {
            "nation": NATION,
            "motto": MOTTO,
            "superior": display_text(paper.issuer[0].upper()),
            "issuer": display_text(paper.issuer[1].upper()),
            "number": f"Số: {paper.number}" if paper.number else "",
            "day": day_of(paper),
            "title": display_text(paper.title),
            "subtitle": display_text(paper.subtitle),
            "blocks": [_block(block) for block in paper.blocks],
            "signatures": [{"office": display_text(each.office), "name": display_text(each.name)} for each in paper.signatures],
            "foot": display_text(paper.foot),
        },
        ensure_ascii=False,
    )


def _block(block: Block) -> dict[str, object]:
    match block:
        case Table():
            return {
                "is": "table",
                "name": display_text(block.name),
                "columns": [{"title": display_text(c.title), "right": c.right, "wide": c.wide} for c in block.columns],
                "rows": [[display_text(cell) for cell in row] for row in block.rows],
                "total": [display_text(cell) for cell in block.total] if block.total is not None else [],
                "empty": display_text(block.empty),
                "drawn": display_text(block.drawn),
                "bars": [list(bar) for bar in block.bars],
            }
        case DescriptionList():
            pairs = [[display_text(name), labelled_text(cell)] for name, cell in block.pairs]
            return {"is": "terms", "name": display_text(block.name), "pairs": pairs}
        case str():
            return {"is": "text", "text": display_text(block)}
