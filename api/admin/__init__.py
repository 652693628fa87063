"""The admin's side: JSON under `/api/admin` for programs, pages under `/admin` for people.

`sign_in.py` and `door.py` keep the pages shut, `rendering.py` alone knows templates, `pages.py` shows,
`presses.py` acts.
"""
