"""What every room may use: errors, records, progress, the cache, shipped folders, several processes. Imports no other room."""
