"""Files to records and back: the formats of cubes and tables, no physics."""
