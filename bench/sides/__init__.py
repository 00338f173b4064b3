"""Who is measured. Each module is a process of its own: `serve(Side(...))`, whose methods the parent calls."""
