"""The playground: a local web page that teaches, bends curves and shows runs (`fewstep play`)."""
