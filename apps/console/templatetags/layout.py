"""The parts that pages are laid out in: panels, tables, facts, pairs, fields, breadcrumbs."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_block_tag
def words(content: SafeString) -> SafeString:
    """Text for another tag's argument: ``{% words as note %}{{ n }} sites{% endwords %}``."""
    return SafeString(content.strip())


@register.simple_block_tag
def crumbs(content: SafeString) -> SafeString:
    """The way to this page, as ``li`` elements."""
    return format_html('<nav aria-label="Breadcrumb"><ol class="crumbs">{}</ol></nav>', content)


@register.simple_block_tag
def panel(
    content: SafeString, id: str, title: str, note: str | None = None, kind: str = ""
) -> SafeString:
    """A titled part of a page; ``id`` is the heading's, ``note`` stands at the right of it."""
    return format_html(
        '<section class="panel{}" aria-labelledby="{}">'
        '<div class="panel-head"><h2 id="{}">{}</h2>{}</div>{}</section>',
        kind and f" {kind}",
        id,
        id,
        title,
        "" if note is None else format_html('<span class="panel-note">{}</span>', note),
        content,
    )


@register.simple_block_tag
def table(content: SafeString, *columns: str, kind: str = "") -> SafeString:
    """A table of rows. A column is a ``label``, ``#label`` over numbers, or ``label|class``."""
    heads = format_html_join(
        "",
        '<th scope="col"{}>{}</th>',
        map(_column, columns),
    )
    return format_html(
        '<table class="table{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>',
        kind and f" {kind}",
        heads,
        content,
    )


def _column(one: str) -> tuple[str, str]:
    label, bar, look = one.removeprefix("#").rpartition("|")
    label, look = (label, look) if bar else (look, "")
    look = look.strip() or ("number" if one.startswith("#") else "")
    return (
        look and format_html(' class="{}"', look),
        SafeString(label) if isinstance(one, SafeString) else label,
    )


@register.simple_block_tag
def fact(
    content: SafeString,
    label: str,
    figure: Any,
    *,
    of: Any = None,
    unit: str = "",
    none: str = "none",
    gloss: str = "",
) -> SafeString:
    """A figure with its label, ``of`` how many or in which ``unit``; the content explains it.

    Where there is no figure, ``none`` stands for it. ``gloss`` is the explanation's class.
    """
    after = f" of {of}" if of is not None else unit and f" {unit}"
    shown = (
        format_html('<span class="figure muted">{}</span>', none)
        if figure in (None, "")
        else format_html(
            '<span class="figure">{}{}</span>',
            figure,
            after and format_html('<span class="of">{}</span>', after),
        )
    )
    look = gloss and f" {gloss}"
    return format_html(
        '<div class="fact"><dt>{}</dt><dd>{}</dd>{}</div>',
        label,
        shown,
        content.strip() and format_html('<dd class="gloss{}">{}</dd>', look, content),
    )


@register.simple_block_tag
def pair(content: SafeString, term: str, kind: str = "") -> SafeString:
    """A term and what it stands for, in a ``dl`` of pairs."""
    look = kind and format_html(' class="{}"', kind)
    return format_html("<dt>{}</dt><dd{}>{}</dd>", term, look, content)


@register.simple_tag
def field(
    name: str,
    label: str,
    *,
    id: str = "",
    number: int | None = None,
    within: str = "div",
    look: str = "",
    **attributes: Any,
) -> SafeString:
    """A labelled line of text; `number` tells the ids of one field in several forms apart.

    Of the other attributes of the input, ``True`` is one without a value.
    """
    id = (id or name) if number is None else f"{id or name}-{number}"
    given = format_html_join(
        "",
        " {}{}",
        (
            (key, "" if value is True else format_html('="{}"', value))
            for key, value in {"id": id, "name": name, **attributes}.items()
        ),
    )
    return format_html(
        '<{within} class="field{look}"><label for="{id}">{label}</label>'
        '<input type="text"{given}></{within}>',
        within=within,
        look=look and f" {look}",
        id=id,
        label=label,
        given=given,
    )


@register.simple_tag
def swatch(colour: int) -> SafeString:
    """A legend's square in a chart's colour."""
    return format_html(
        '<svg viewBox="0 0 10 10" aria-hidden="true">'
        '<rect class="fill-{}" width="10" height="10" /></svg>',
        colour,
    )


@register.filter
def or_muted(value: Any, words: str) -> Any:
    """The value; where there is none, the words in a pale colour."""
    return format_html('<span class="muted">{}</span>', words) if value in (None, "") else value
