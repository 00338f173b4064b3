"""What is measured. Each module runs as a process: `serve(Side(...))`, whose methods the parent calls."""
