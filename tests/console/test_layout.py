"""The tags that pages are laid out with write what they say, and escape what they are given."""

from __future__ import annotations

import pytest
from django.template import Context, Template
from django.test.html import parse_html

HOSTILE = "<b>\"&'|x"


def rendered(text: str, **context: object) -> str:
    return Template("{% load layout %}" + text).render(Context(context))


@pytest.mark.parametrize(
    "text",
    [
        '{% panel "id" name name %}{{ name }}{% endpanel %}',
        "{% panel name name kind=name %}{% endpanel %}",
        "{% table name kind=name %}{{ name }}{% endtable %}",
        '{% words as head %}{{ name }}|wide{% endwords %}{% table head "#n" %}{% endtable %}',
        "{% fact name name of=name %}{{ name }}{% endfact %}",
        "{% fact name name unit=name gloss=name %}{{ name }}{% endfact %}",
        '{% fact "none" none none=name %}{% endfact %}',
        "{% pair name name %}{{ name }}{% endpair %}",
        "{% field name name value=name placeholder=name look=name %}",
        "{% words as said %}{{ name }}{% endwords %}{{ said }}",
        "{% crumbs %}<li>{{ name }}</li>{% endcrumbs %}",
        "{% swatch name %}",
        "{{ none|or_muted:name }}{{ name|or_muted:name }}",
    ],
)
def test_what_is_given_is_escaped_once(text: str) -> None:
    html = rendered(text, name=HOSTILE, none=None)
    assert "<b>" not in html
    assert "&amp;lt;" not in html
    assert "&lt;b&gt;&quot;&amp;&#x27;" in html


def test_a_panel_has_its_heading_s_name() -> None:
    html = rendered('{% panel "jobs" "Jobs" note kind="wide" %}<p>x</p>{% endpanel %}', note="2")
    assert parse_html(html) == parse_html(
        '<section class="panel wide" aria-labelledby="jobs"><div class="panel-head">'
        '<h2 id="jobs">Jobs</h2><span class="panel-note">2</span></div><p>x</p></section>'
    )
    assert "panel-note" not in rendered('{% panel "jobs" "Jobs" %}{% endpanel %}')


def test_a_table_s_columns_carry_their_class() -> None:
    html = rendered('{% table "A|wide" "#n" "B" kind="lines" %}<tr></tr>{% endtable %}')
    assert parse_html(html) == parse_html(
        '<table class="table lines"><thead><tr><th scope="col" class="wide">A</th>'
        '<th scope="col" class="number">n</th><th scope="col">B</th></tr></thead>'
        "<tbody><tr></tr></tbody></table>"
    )


@pytest.mark.parametrize(
    ("arguments", "figure"),
    [
        ("0", '<span class="figure">0</span>'),
        ("2 of=3", '<span class="figure">2<span class="of"> of 3</span></span>'),
        ("2 of=0", '<span class="figure">2<span class="of"> of 0</span></span>'),
        ('2 unit="sites"', '<span class="figure">2<span class="of"> sites</span></span>'),
        ("missing", '<span class="figure muted">none</span>'),
        ("missing.number", '<span class="figure muted">none</span>'),
        ('missing none="none yet"', '<span class="figure muted">none yet</span>'),
    ],
)
def test_a_fact_shows_its_figure_or_that_there_is_none(arguments: str, figure: str) -> None:
    assert rendered(f'{{% fact "F" {arguments} %}}{{% endfact %}}', missing=None) == (
        f'<div class="fact"><dt>F</dt><dd>{figure}</dd></div>'
    )
    explained = rendered(f'{{% fact "F" {arguments} gloss="mono" %}}why{{% endfact %}}')
    assert explained.endswith('<dd class="gloss mono">why</dd></div>')


def test_a_field_s_label_is_its_input_s() -> None:
    html = rendered('{% field "reason" "Why" id="r" number=2 maxlength="9" required=True %}')
    assert parse_html(html) == parse_html(
        '<div class="field"><label for="r-2">Why</label>'
        '<input type="text" id="r-2" name="reason" maxlength="9" required></div>'
    )


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), ("x", "x"), (None, "-"), ("", "-")])
def test_nothing_is_shown_in_words(value: object, shown: str) -> None:
    html = rendered('{{ value|or_muted:"-" }}', value=value)
    assert html == (shown if shown != "-" else '<span class="muted">-</span>')
