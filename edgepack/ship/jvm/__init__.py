"""What the Java code needs from here: which tokenizers it knows, what a character is, and its sources beside them."""
