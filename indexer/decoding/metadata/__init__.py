"""What is told of a file: by its tags, by files beside it, by its name; and which of them is believed."""
