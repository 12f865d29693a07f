"""The command line behind `cli.py`: a client of the HTTP API, and a way to run the parts."""
