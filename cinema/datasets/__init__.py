"""Readers: from what scanners and public datasets write to a Study."""

DATASETS = {}  # name as in --data -> reader of that dataset; DICOM and NIfTI studies need no entry
