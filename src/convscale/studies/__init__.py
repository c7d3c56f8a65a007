"""Studies: questions answered by trials; the search for coefficients that trains."""
