"""The trainings of a study on several machines, through Ray (optional: `pip install ray`). See docs/cluster.md."""
