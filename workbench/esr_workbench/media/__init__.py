"""Video for the workbench: frames of files, and what a codec does to pictures."""
