"""One HTML file that needs nothing else: no script, no request, every text escaped.

For documents that people keep, print or mail: light and dark by the reader's setting, light on
paper. Text comes from other organizations, so it is escaped where an element is made and not where
it is used: there is no way to put text into a page but through `element`.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_VOID = {"br", "meta"}

STYLE = """
:root{color-scheme:light dark;--paper:#f5f6f8;--surface:#fff;--ink:#12171e;--muted:#55606d;
--line:#dde1e7;--accent:#0a5a70;--good:#12693f;--warn:#7d5000;--sunken:#eef0f3}
@media (prefers-color-scheme:dark){:root{--paper:#0d1116;--surface:#151a21;--ink:#e6eaef;
--muted:#9aa6b3;--line:#272f39;--accent:#6cc3dc;--good:#6ad19d;--warn:#e9b85c;--sunken:#1b212a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:.9375rem/1.55 system-ui,-apple-system,
"Segoe UI",Roboto,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:56rem;margin:0 auto;padding:2rem 1rem 4rem}
header{margin-bottom:1.5rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .5rem;letter-spacing:-.02em;text-wrap:balance;
overflow-wrap:anywhere}
h2{font-size:1.0625rem;margin:0 0 .75rem}
h3{font-size:.9375rem;margin:1.25rem 0 .5rem}
p{margin:0 0 .75rem;max-width:44rem}
section>:last-child,header>:last-child{margin-bottom:0}
.scroll+.scroll{margin-top:1.5rem}
.kind{color:var(--muted);margin:0 0 .25rem}
.note{color:var(--muted)}
.good{color:var(--good);font-weight:600}
.warn{color:var(--warn);font-weight:600}
section{background:var(--surface);border:1px solid var(--line);border-radius:10px;
padding:1.25rem;margin:0 0 1rem}
dl{display:grid;grid-template-columns:minmax(8rem,14rem) 1fr;gap:.4rem 1.25rem;margin:0 0 .75rem}
dt{color:var(--muted)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
ul{margin:0 0 .75rem;padding-left:1.25rem;max-width:44rem}
li{margin:.25rem 0}
p,li{overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:0 0 .75rem}
table{border-collapse:collapse;width:100%}
caption{text-align:left;color:var(--muted);padding:0 0 .5rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;
border-bottom:1px solid var(--line)}
th{font-weight:600}
thead th{color:var(--muted);font-weight:500;white-space:nowrap}
tbody tr:last-child>*{border-bottom:0}
.number{text-align:right}
td.number,th.number{padding-right:0;padding-left:.75rem;white-space:nowrap}
code,pre{font:.8125rem/1.5 ui-monospace,"SF Mono","Cascadia Mono","DejaVu Sans Mono",monospace}
code{overflow-wrap:anywhere}
pre{background:var(--sunken);border-radius:6px;padding:.75rem;margin:0 0 .75rem;
white-space:pre-wrap;overflow-wrap:anywhere}
bdi{overflow-wrap:anywhere}
footer{color:var(--muted);font-size:.8125rem}
@media (max-width:36rem){main{padding-top:1rem}section{padding:1rem}
td.number{white-space:normal}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}}
@page{size:A4;margin:16mm 15mm}
@media print{:root{color-scheme:light;--paper:#fff;--surface:#fff;--ink:#000;--muted:#444;
--line:#bbb;--accent:#000;--good:#0b4a2b;--warn:#5c3a00;--sunken:#f2f2f2}
body{font-size:9.5pt}code,pre{font-size:7.5pt}dl{grid-template-columns:10rem 1fr}
main{max-width:none;padding:0}.scroll{overflow:visible}
section{border:0;border-top:1px solid var(--line);border-radius:0;padding:4mm 0;margin:0}
h2,h3{break-after:avoid}tr,dt,dd,li,pre{break-inside:avoid}thead{display:table-header-group}}
""".strip()
STYLE_SOURCE = f"sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}"
POLICY = f"default-src 'none'; style-src '{STYLE_SOURCE}'; base-uri 'none'; form-action 'none'"
"""The content security policy of such a file: its one style, and nothing else."""


class Markup(str):
    """Text that is HTML already; made by `element` alone."""

    __slots__ = ()


Content = str | None | Iterable["Content"]
"""What an element holds: text, which is escaped, markup, or several of them; None is nothing."""


def element(tag: str, *content: Content, **attributes: str | None) -> Markup:
    """An element; ``class_`` is written class, and underscores in names as hyphens.

    Raises ValueError for a name that is none: names are the program's, never data.
    """
    written = []
    for name, value in attributes.items():
        plain = name.rstrip("_").replace("_", "-")
        if not _NAME.fullmatch(plain):
            raise ValueError(f"not an attribute's name: {name}")
        if value is not None:
            written.append(f' {plain}="{html.escape(shown(value))}"')
    if not _NAME.fullmatch(tag):
        raise ValueError(f"not an element's name: {tag}")
    start = f"<{tag}{''.join(written)}>"
    return Markup(start if tag in _VOID else f"{start}{_inner(content)}</{tag}>")


def shown(text: str) -> str:
    """Text without what a page cannot show as it is: controls, and marks that reorder others."""
    return "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t" else c
        for c in text
    )


def foreign(text: str) -> Markup:
    """A text that others chose: whatever its direction, what stands beside it keeps its place."""
    return element("bdi", text)


def facts(rows: Iterable[tuple[str, Content]]) -> Markup:
    """Names with their values; a value of None is left out."""
    return element(
        "dl",
        [(element("dt", name), element("dd", value)) for name, value in rows if value is not None],
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[Content]], *, caption: str, numbers: int = 0
) -> Markup:
    """A table whose rows' first cell heads them; the last ``numbers`` columns are numbers."""

    def kind(place: int) -> str | None:
        return "number" if place >= len(head) - numbers else None

    def row(cells: Sequence[Content]) -> Markup:
        first, *others = cells
        return element(
            "tr",
            element("th", first, scope="row"),
            [element("td", cell, class_=kind(at)) for at, cell in enumerate(others, 1)],
        )

    top = [element("th", name, scope="col", class_=kind(at)) for at, name in enumerate(head)]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", top)),
        element("tbody", [row(cells) for cells in rows]),
    )
    # What scrolls must be reachable by the keyboard.
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def bullets(items: Iterable[Content]) -> Markup:
    return element("ul", [element("li", item) for item in items])


def cut(caption: str, rows: Sequence[object], most: int, which: str = "first") -> str:
    """A caption that says what of a long list is left out."""
    if len(rows) <= most:
        return caption
    return f"{caption}; the {which} {most} of {len(rows)}, all are in the JSON"


def section(heading: str, *content: Content) -> Markup:
    return element("section", element("h2", heading), *content)


def document(title: str, *, kind: str, lede: Content, body: Content, footer: Content) -> str:
    """The whole file. ``kind`` says above the title what it is; its policy lets nothing load."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title}: {kind}"),
        Markup(f"<style>{STYLE}</style>"),
    )
    top = element("header", element("p", kind, class_="kind"), element("h1", foreign(title)), lede)
    page = element("body", element("main", top, body, element("footer", footer)))
    return f"<!doctype html>\n{element('html', head, page, lang='en')}\n"


def _inner(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return html.escape(shown(content))
    return "".join(_inner(item) for item in content)
