"""The contract between server and client: messages, and stubs generated from the .proto file."""
