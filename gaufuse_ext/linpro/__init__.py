"""LinPro: the linear program that turns scored instances into snippet labels (method section 4)."""
