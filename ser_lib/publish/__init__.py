"""Pack finished runs so that others can cite, check and repeat them."""
