"""Objects of the filesystem store: the vault itself serves the URLs that it hands out (spec `api.md`)."""
