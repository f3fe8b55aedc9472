"""What a run is on disk, without torch: identity and name, record, progress, atomic files, locks.

``unrolled.runs(folder)`` is the public function of the same name, which gives the runs below a
folder as a data frame: see ``unrolled.api.listing.runs``.
"""
