"""Kills, and the proof that nothing was lost or done twice."""
