"""The process that runs an app: Microsoft's worker library, and a line of JSON for each message of its protocol."""
