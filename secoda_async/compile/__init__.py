"""Turns an asynchronous integration into one file that runs under plain secodadk."""
