"""Builders of raw folders that have each public dataset's layout, names, headers and quirks, from virtual hearts."""
