"""A mammogram phantom: film mammograms with malignant masses, drawn from a seed.

It can draw the same mammogram again with its masses erased or with another one at a chosen place, everything else
bit-identical. `calibration` holds every number that sets its realism and difficulty.
"""

from pipeline.data.phantom.masses import Mass, new_mass, new_size
from pipeline.data.phantom.renderer import Rendering, case, cases, image_id, own_masses, patient_and_view, patients, render

__all__ = ["Mass", "Rendering", "case", "cases", "image_id", "new_mass", "new_size", "own_masses", "patient_and_view", "patients", "render"]
