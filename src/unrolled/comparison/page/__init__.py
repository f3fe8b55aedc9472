"""The comparison as one HTML page that needs nothing from the net: a file a section, each of which
gives charts, tables and texts as data; the template writes them."""
