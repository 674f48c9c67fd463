"""The exchange on its flow."""
