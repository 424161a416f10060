"""Plants faults of fallible teachers, flaky servers and mixed-up datasets in sound trajectories over pinned code.

`python -m benchmarks.corruptions` runs it. The kinds were written without a look at the checks they measure.
"""
