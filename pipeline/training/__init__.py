"""One engine for all trainings, on MMEngine's Runner: `engine.fit`, `checkpoints.load_state`."""
