"""How the pages write numbers, times, digests and states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.console.shared import box_charts, charts

register = template.Library()

#: The look of every state that a page shows; an unknown one is drawn plainly.
TONES = {
    "good": {"finished", "released", "approved", "active", "agrees", "confirmed", "online"},
    "live": {"running", "collecting", "open", "charging", "noising", "decrypting", "sent"},
    "warn": {"proposed", "queued", "pending", "abandoned", "away"},
    "bad": {
        *("failed", "declined", "refused", "disagrees"),
        *("revoked", "suspended", "never seen", "failing"),
    },
    "idle": {"cancelled", "superseded", "ended", "retired", "destroyed", "offline", "waiting"},
}
TONE_OF = {state: tone for tone, states in TONES.items() for state in states}


@register.simple_tag
def consortium_name() -> str:
    return str(settings.FSC_CONSORTIUM)


@register.simple_tag
def pill(state: str, label: str = "") -> SafeString:
    """A state as a coloured label; the words alone say it too."""
    return format_html(
        '<span class="pill {}">{}</span>', TONE_OF.get(state, ""), (label or state).capitalize()
    )


@register.filter
def short(digest: Any) -> str:
    """The first twelve signs of a digest or identifier."""
    return str(digest or "")[:12]


@register.filter
def grouped(digest: str) -> str:
    """A fingerprint as people read it out: groups of eight."""
    return " ".join(digest[at : at + 8] for at in range(0, len(digest), 8))


@register.filter
def epsilon(value: float | None) -> str:
    """Epsilon with three significant digits; infinity where nothing bounds it."""
    if value is None or math.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    return f"{value:.2f}" if value >= 0.995 else f"{value:.3g}"


@register.filter
def delta(value: float) -> str:
    """A probability as ``1e-5``."""
    digits, power = f"{value:.1e}".split("e")
    return f"{float(digits):g}e{int(power)}"


@register.filter
def seconds(value: float | None) -> str:
    """A duration in the unit that reads best."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


@register.filter
def ago(moment: datetime | None) -> str:
    """How long ago, in one unit."""
    if moment is None:
        return "never"
    gone = timezone.now() - moment
    for unit, name in (
        (timedelta(days=1), "day"),
        (timedelta(hours=1), "hour"),
        (timedelta(minutes=1), "minute"),
    ):
        if gone >= unit:
            number = int(gone / unit)
            return f"{number} {name}{'s' if number > 1 else ''} ago"
    number = max(int(gone.total_seconds()), 0)
    return "just now" if number < 5 else f"{number} seconds ago"


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """A time as a ``time`` element: the second for people, the exact one for machines."""
    if value is None:
        return "-"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        value.isoformat(),
        value.strftime("%Y-%m-%d %H:%M:%S.%f"),
        value.strftime("%b %-d, %H:%M:%S"),
    )


@register.filter
def stamp(value: datetime | None) -> SafeString | str:
    """A time with its date and year, as `moment` but for paper."""
    if value is None:
        return "-"
    return format_html(
        '<time datetime="{}">{}</time>', value.isoformat(), value.strftime("%Y-%m-%d %H:%M:%S")
    )


@register.filter
def rho(value: float | None) -> str:
    """A zCDP rho with four significant digits, plain or by powers of ten as it is shorter."""
    return "-" if value is None else f"{value:.4g}"


@register.inclusion_tag("console/shared/charts/stack.html")
def stack_bar(
    parts: Sequence[tuple[str, float, int]], whole: float, label: str = "", size: str = ""
) -> dict[str, Any]:
    """One bar of ``(label, value, colour)`` parts out of ``whole``."""
    return {"segments": charts.stack(parts, whole), "label": label, "size": size}


@register.inclusion_tag("console/shared/charts/steps.html")
def step_plot(chart: charts.StepChart) -> dict[str, Any]:
    return {"chart": chart}


@register.inclusion_tag("console/shared/charts/box.html")
def box_plot(chart: box_charts.BoxChart) -> dict[str, Any]:
    return {"chart": chart}


@register.inclusion_tag("console/shared/charts/history.html")
def history_plot(chart: box_charts.HistoryChart) -> dict[str, Any]:
    return {"chart": chart}
