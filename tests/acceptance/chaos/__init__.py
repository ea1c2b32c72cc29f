"""Faults drawn at random while a study goes on; afterwards every slot must hold what an undisturbed study holds."""
