from django.urls import path

from apps.budgets import api

urlpatterns = [
    path("ledger", api.LedgerView.as_view(), name="api-ledger"),
    path("ledger/allotments", api.AllotmentsView.as_view(), name="api-allotments"),
    path(
        "ledger/allotments/<uuid:request_id>",
        api.AllotmentRequestView.as_view(),
        name="api-allotment-request",
    ),
]
