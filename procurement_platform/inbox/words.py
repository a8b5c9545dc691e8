"""The first words of the lines a decoding process answers with; the rest of an outcome's line is JSON, of a failure's text."""

STARTED = "started"
OUTCOME = "outcome"
FAILED = "failed"
