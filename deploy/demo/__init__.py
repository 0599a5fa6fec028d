"""`make demo`: a clip through the service, from nothing, and a picture of what is gained."""
