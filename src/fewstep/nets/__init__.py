"""Networks and the norm policies that act on any network."""
