"""Deals: what two parties sign, what it pays, and how it is told to them."""
