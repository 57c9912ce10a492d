"""Reports to open in a browser: one HTML file for a run, a table or a stress report."""
