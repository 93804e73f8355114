"""Every number that decides how real and how hard the phantom is; `python -m benchmarks.phantom` prints what they give.

Shares of shapes and margins, mass sizes, grey levels and the film's clutter follow CBIS-DDSM (Lee et al., Sci Data 4,
170177, 2017): malignant masses of its training split, measured at one film height. Lengths are in mm on a film of
FILM_HEIGHT_MM.
"""

FILM_HEIGHT_MM = 240.0

# Tissue. BETA: exponent of the gland's power spectrum in mammograms; Chen, Abbey, Nosratieh, Lindfors, Boone, Med Phys 39(3),
# 1435, 2012.
BETA = {"CC": 3.17, "MLO": 3.30}
DENSITY_SHARES = (0.1, 0.4, 0.4, 0.1)  # patients of ACR class 1..4
DENSE_AREA = ((0.04, 0.10), (0.12, 0.28), (0.30, 0.52), (0.55, 0.80))  # share of the breast's area that is glandular, by class

# Attenuation over the whole thickness of a compressed breast, and that of a mass relative to gland (1) and fat (0).
FAT, GLAND, MUSCLE, SKIN = 0.42, 0.84, 0.92, 0.10
MASS = 2.4

# Masses. Sides are log-normal shares of the film's height; width and height correlate by .88.
SIZE_MEDIAN, SIZE_SIGMA, ASPECT_SIGMA = 0.0605, 0.42, 0.1
SIZE_LIMITS = (0.024, 0.19)
SECOND_MASS = 0.06  # share of patients with two masses
UPPER = 0.62  # share of masses above the nipple (CC: lateral half)
IN_FAT = 0.3  # weight of a place in pure fat against 1 + this in pure gland
# CONTRAST: share of the breast's thickness that a mass replaces (log-normal median, sigma, limits): how visible masses are.
CONTRAST_MEDIAN, CONTRAST_SIGMA, CONTRAST_LIMITS = 0.205, 0.22, (0.14, 0.42)
READER = (0.72, 1.05)  # radius of the visible edge as a share of that of the outline
MARGINS = {"spiculated": 0.41, "ill_defined": 0.30, "microlobulated": 0.15, "obscured": 0.08, "circumscribed": 0.06}
SHAPES = {"irregular": 0.52, "lobulated": 0.19, "oval": 0.14, "round": 0.07, "irregular-architectural_distortion": 0.08}

# DISTRACTORS: mean numbers in an image of things that are no mass: how many false alarms there are to raise.
CYSTS, ASYMMETRIES, CROSSINGS, VESSELS, CALCIFICATIONS = 0.8, 1.2, 5.0, 2.5, 0.5
DUCTS = 35  # and ligaments
NODES = {"CC": 0.1, "MLO": 0.7}
DISTRACTOR_CONTRAST = 0.7  # of a mass's contrast

# Film and scanner.
BLUR_PX = 0.45
NOISE = 0.005  # standard deviation at full range, in the middle of the grey scale
BORDER_SHARE, LABEL_SHARE, TAPE_SHARE = 0.3, 0.95, 0.25
