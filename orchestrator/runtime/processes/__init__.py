"""The API in several processes on one address: their keeper, and what each of them runs."""
