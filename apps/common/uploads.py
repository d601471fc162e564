"""Limits the size of uploaded files while they arrive."""

from __future__ import annotations

from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler

UPLOAD_MOST = 16 * 2**20


class BoundedUploadHandler(TemporaryFileUploadHandler):
    """A temporary file, deleted with the request; reading stops past UPLOAD_MOST.

    What is too long is then missing among the files, and the view says so.
    """

    received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.received += len(raw_data)
        if self.received > UPLOAD_MOST:
            raise StopUpload(connection_reset=True)
        super().receive_data_chunk(raw_data, start)
