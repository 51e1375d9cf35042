"""The local workspace as pages: what it holds, as a tree, and what each sync did to it."""
