"""The messages of the protocol; the only serializers."""
