"""Jobs on a cluster: render, submit, watch."""
