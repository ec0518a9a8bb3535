"""affwild2: Aff-Wild2's annotated frames, from any edition of the ABAW competition."""
