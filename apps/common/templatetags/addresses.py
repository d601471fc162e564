"""``{% root_url 'account_logout' %}`` and ``{% organization_url slug 'home' %}``."""

from __future__ import annotations

from django import template

from apps.common import urls

register = template.Library()
register.simple_tag(urls.root_url, name="root_url")
register.simple_tag(urls.organization_url, name="organization_url")
