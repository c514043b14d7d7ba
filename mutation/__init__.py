"""Do the tests notice? Small faults put into the code, one at a time, and the tests run on each."""
