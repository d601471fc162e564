"""The WSGI application that gunicorn serves."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
os.environ.setdefault("FSC_DB_POOL", "1")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
