"""Figures. Functions draw on the axes they are given and return nothing; style.save alone writes files."""
