"""From activations to snippet labels: pseudo labels, delta labels, an online teacher."""
