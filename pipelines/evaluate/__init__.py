"""Evaluate the models of a build: metrics per owner, with intervals and paired differences."""
