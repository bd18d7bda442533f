"""How fast fewstep is beside what else there is: one command times them all, interleaved, after a check in float64."""
