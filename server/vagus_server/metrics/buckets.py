"""Bounds of histograms that several nouns share."""

LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
#: Decode steps of small models on fast devices take under a millisecond.
INTER_TOKEN = (0.0005, *LATENCY[:-3])
Z = (-8, -5, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 5, 8)
#: Of a program, in mean residual norms.
DOSE = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2)
