"""How good pseudo labels are, against ground-truth snippets, by the way they are made."""
