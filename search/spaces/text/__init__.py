"""The text encoders of the starter, and how their vectors become one."""
