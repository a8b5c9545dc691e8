"""The first words of the lines a decoding process answers with; the rest of an outcome's line is JSON, of a failure's text."""

STARTED = "started"
OTHERS = "others"  # the file has columns beyond the contract
OUTCOME = "outcome"
FAILED = "failed"
