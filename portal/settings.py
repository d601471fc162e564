"""Django's settings, all derived from the one typed configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from apps.common.scopes import Scope
from portal.config import Config
from portal.tenancy.pool import connection_reset

BASE_DIR = Path(__file__).resolve().parent.parent

FSC_CONFIG = Config.load()
FSC_STATE = FSC_CONFIG.state
FSC_CONSORTIUM = FSC_CONFIG.coordinator.consortium
FSC_LOG_KEY_PATH = FSC_CONFIG.secret_path("log.key")
# owner: migrations and the making of organizations; app: everything else.
FSC_DB_ROLE = os.environ.get("FSC_DB_ROLE", "app")

SECRET_KEY = FSC_CONFIG.secret("django")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", FSC_CONFIG.address[0]]
ALLOWED_HOSTS += FSC_CONFIG.coordinator.hosts

# Applications. A tenant schema gets the tables of models whose scope is tenant or both; the
# router decides model by model, so an app may appear in both lists.

_OURS = [
    "apps.common",
    "apps.provenance",
    "apps.organizations",
    "apps.schedules",
    "apps.accounts",
    "apps.budgets",
    "apps.keys",
    "apps.attempts",
    "apps.training",
    "apps.benchmarks",
    "apps.audit",
    "apps.console",
]
SHARED_APPS = [
    "portal.tenancy",  # before django_tenants, whose migration commands it extends
    "django_tenants",
    *_OURS,
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "allauth",
    "allauth.account",
]
TENANT_APPS = list(_OURS)
INSTALLED_APPS = SHARED_APPS
# Models of other packages declare no scope; these are theirs.
FOREIGN_SCOPES = {
    "contenttypes": Scope.SHARED,
    "auth": Scope.SHARED,
    "sessions": Scope.SHARED,
    "admin": Scope.SHARED,
    "account": Scope.SHARED,
    "django_celery_beat": Scope.SHARED,
}

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.common.errors.DomainErrorMiddleware",
    "portal.tenancy.middleware.TenantMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # A page of the console has its template in its own folder, as "console/home/home.html".
        "DIRS": [BASE_DIR / "templates", BASE_DIR / "apps"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database and tenancy.

_database = urlsplit(FSC_CONFIG.database_url(FSC_DB_ROLE))
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "portal.tenancy.backend",
        "NAME": unquote(_database.path.removeprefix("/")),
        "USER": unquote(_database.username or ""),
        "PASSWORD": unquote(_database.password or ""),
        "HOST": _database.hostname or "",
        "PORT": str(_database.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5},
    }
}
# The web server's threads share connections (portal.wsgi asks for it); other processes have one
# thread each and keep none between tasks.
if os.environ.get("FSC_DB_POOL") == "1":
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 2,
        "max_size": 16,
        "timeout": 5,
        "reset": connection_reset,
    }
DATABASE_ROUTERS = ["portal.tenancy.router.ScopeRouter", "django_tenants.routers.TenantSyncRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TENANT_MODEL = "organizations.Organization"
TENANT_DOMAIN_MODEL = "organizations.Domain"
TENANT_LIMIT_SET_CALLS = True
ORIGINAL_BACKEND = "django.db.backends.postgresql"

# Masked vectors and large models. A storage of django-storages takes the backend's place for S3.

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "blobs": {
        "BACKEND": "apps.common.blobs.DurableStorage",
        "OPTIONS": {"location": FSC_CONFIG.blob_dir},
    },
}

# Valkey: cache and broker.

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache"
        if FSC_CONFIG.broker_url.startswith("redis")
        else "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": FSC_CONFIG.broker_url,
        "KEY_PREFIX": "fsc",
    }
}
CELERY_BROKER_URL = FSC_CONFIG.broker_url

# People.

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "apps.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
# No mail server is configured. Letters hold sign-in secrets: they are stored with the secrets.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = FSC_CONFIG.secret_path("mail")

# Browsers.

SESSION_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "__Host-session"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_NAME = "__Host-csrf"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
STATIC_URL = "/static/"
# The colours and sizes of the pages are those of the model card, which `federated` carries.
STATICFILES_DIRS = [BASE_DIR / "static", ("css", BASE_DIR / "federated" / "card" / "css")]
# Assets are served from where they lie; nothing has to be collected first.
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = FSC_CONFIG.coordinator.max_body_bytes
FILE_UPLOAD_HANDLERS = ["apps.common.uploads.BoundedUploadHandler"]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# API.

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "apps.common.errors.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "apps.common.schema.Schema",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    # A view that names nobody lets nobody in.
    "DEFAULT_PERMISSION_CLASSES": ["apps.common.permissions.Closed"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Federated Simulation Cloud",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVERS": [
        {"url": "/", "description": "a site, by its certificate"},
        {
            "url": "/o/{organization}",
            "description": "a member, by session",
            "variables": {"organization": {"default": "northwind"}},
        },
    ],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
