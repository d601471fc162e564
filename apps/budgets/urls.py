from django.urls import path

from apps.budgets import api

urlpatterns = [path("ledger", api.LedgerView.as_view(), name="api-ledger")]
