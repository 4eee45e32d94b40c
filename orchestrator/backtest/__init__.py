"""A recorded history, evaluated in memory or settled on a chain."""
