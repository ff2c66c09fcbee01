"""`make demo`: the product's whole job on one machine, with real commands, real packets and a card at the end."""
