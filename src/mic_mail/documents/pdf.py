"""Papers as PDF, A4, with every Vietnamese letter (PDF/A-2b, ISO 19005-2: readable in twenty years; typst).

In: a `Paper`. Out: octets; the same paper gives the same octets, so a digest of the file says something. What the paper says
goes to the template as data and never as markup: no name of a mailbox can write on the page what was not meant.
"""

import json
from datetime import UTC
from functools import cache
from importlib.resources import files

from mic_mail.documents.document import MOTTO, NATION, Block, Paper, Table, Terms, day_of, shown, told

PREVIEW_PPI = 110


def write(paper: Paper) -> bytes:
    """The file."""
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


def pictures(paper: Paper) -> list[bytes]:
    """Its pages as PNG, to be looked at."""
    import typst

    drawn = typst.compile(
        _template(), format="png", ppi=PREVIEW_PPI, sys_inputs={"paper": _data(paper)}, ignore_system_fonts=True
    )
    return drawn if isinstance(drawn, list) else [drawn or b""]


@cache
def _template() -> bytes:
    return files("mic_mail.documents").joinpath("paper.typ").read_bytes()


def _data(paper: Paper) -> str:
    return json.dumps(
        {
            "nation": NATION,
            "motto": MOTTO,
            "superior": shown(paper.issuer[0].upper()),
            "issuer": shown(paper.issuer[1].upper()),
            "number": f"Số: {paper.number}" if paper.number else "",
            "day": day_of(paper),
            "title": shown(paper.title),
            "subtitle": shown(paper.subtitle),
            "blocks": [_block(block) for block in paper.blocks],
            "signatures": [{"office": shown(each.office), "name": shown(each.name)} for each in paper.signatures],
            "foot": shown(paper.foot),
        },
        ensure_ascii=False,
    )


def _block(block: Block) -> dict[str, object]:
    match block:
        case Table():
            return {
                "is": "table",
                "name": shown(block.name),
                "columns": [{"title": shown(c.title), "right": c.right, "wide": c.wide} for c in block.columns],
                "rows": [[shown(cell) for cell in row] for row in block.rows],
                "total": [shown(cell) for cell in block.total] if block.total is not None else [],
                "empty": shown(block.empty),
                "drawn": shown(block.drawn),
                "bars": [list(bar) for bar in block.bars],
            }
        case Terms():
            pairs = [[shown(what), told(cell)] for what, cell in block.pairs]
            return {"is": "terms", "name": shown(block.name), "pairs": pairs}
        case str():
            return {"is": "text", "text": shown(block)}
