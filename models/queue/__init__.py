"""The queue as people see it: `views.py` what jobs are, `control.py` what an admin may do, `figures.py` how it goes,
`search.py` how jobs are found and `history.py` what became of one.
"""
