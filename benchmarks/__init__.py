"""The measures: what is timed, against what, and what to reach. Timings are compared, never asserted.

One module per measure, listed in ``registry``; ``wire`` and ``batch_run`` are the two things that measures compare.
"""
