"""A cell, a task and a data set for Unrolled; the folder ``conf`` names them."""
