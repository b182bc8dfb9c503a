"""Known secrets are planted, every path is driven, and nothing that leaves the site may hold one."""
