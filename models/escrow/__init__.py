"""Escrow: a milestone's money from the client's card to the freelancer, each step once.

Money moves as begin · reach out · complete: a verb here, the provider in a performer, a verb here again. Every verb may
be called twice and by rivals; the row locks (contract, milestone, payment, in this order) let one win.
"""
