from django.urls import path

from apps.keys import api

urlpatterns = [
    path("roster", api.RosterView.as_view(), name="api-roster"),
    path("keys/current", api.KeyCurrentView.as_view(), name="api-key-current"),
    path("keys/<str:digest>", api.KeyView.as_view(), name="api-key"),
    path(
        "keys/<str:digest>/confirmation",
        api.KeyConfirmationView.as_view(),
        name="api-key-confirmation",
    ),
    path(
        "keys/<str:digest>/retirement",
        api.KeyRetirementView.as_view(),
        name="api-key-retirement",
    ),
]
