"""Why a model says what it says of a face: what it looks at, drawn and as arrays."""
