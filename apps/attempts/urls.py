from django.urls import path

from apps.attempts.api.inbox import InboxView

urlpatterns = [path("inbox", InboxView.as_view(), name="api-inbox")]
