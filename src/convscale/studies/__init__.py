"""Many trainings as trials, here or on a cluster; the studies that compare laws; the search that trains."""
