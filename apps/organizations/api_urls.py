"""Addresses of joining and of a site's own record."""

urlpatterns: list[object] = []
