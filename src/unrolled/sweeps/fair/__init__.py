"""Fair studies: a search of equal budget for each compared value, then fresh seeds at its best."""
