"""What happens to video before a server gets it: it moves, is made smaller, gets noise, and goes through codecs."""
