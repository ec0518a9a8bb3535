"""synthetic_faces: rendered faces with seven expressions, valence and arousal."""
